"""`connfit check` and `connfit new`: what is understood of files, what is asked, what configuration is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from small import raw_movies, teacher, write_files
from typer.testing import CliRunner

from connfit import cli
from connfit import config as configuration
from connfit._system.claimed_file import claimed_file
from connfit._system.paths import unfinished
from connfit.cli import check_command
from connfit.connectome.tables import connectome_from_tables
from connfit.datasets.loading import connectome_from_config, recordings_from_config
from connfit.datasets.own_files import Answers, check_data, config_text
from connfit.datasets.own_files.config_text import MARK
from connfit.errors import ConfigError, DataError

HEADERS = {
    "Codex": ("pre_root_id", "post_root_id", "syn_count", "root_id", "primary_type", "group", "nt_type", "side"),
    "neuPrint": ("bodyId_pre", "bodyId_post", "weight", "bodyId", "type", "roi", "predictedNt", "somaSide"),
    "CAVE": ("pre_pt_root_id", "post_pt_root_id", "n_syn", "pt_root_id", "cell_type", "region", "nt", "hemisphere"),
    "plain": ("source", "target", "weight", "name", "class", "area", "neurotransmitter", "side"),
    "cect": ("pre", "post", "number", "cell", "type", "region", "transmitter", "side"),
}
ROLES = ("pre", "post", "count", "id", "type", "region", "transmitter", "side")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's tables and recordings; without the configuration that fits them."""
    write_files(tmp_path).unlink()
    return tmp_path


def run(*arguments: object, asked: str | None = None):
    """A command, its exit code and all that it says."""
    ran = CliRunner().invoke(cli.app, [*map(str, arguments)], input=asked)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran


def tables(folder: Path, names: tuple[str, ...], suffix: str = ".csv") -> None:
    """Tables of four neurons whose columns have these names."""
    pre, post, count, id, kind, region, transmitter, side = names
    ids = [720575940600000001 + k for k in range(4)]
    edges = pd.DataFrame({pre: ids, post: ids[1:] + ids[:1], count: [3, 2, 1, 5]})
    neurons = pd.DataFrame(
        {id: ids, kind: list("abcd"), region: ["P", "P", "Q", "Q"], transmitter: ["ACH", "GABA", "ACH", ""],
         side: ["left"] * 4}
    )  # fmt: skip
    for name, table in (("wiring", edges), ("cells", neurons)):
        path = folder / f"{name}{suffix}"
        table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)


@pytest.mark.parametrize("source", HEADERS)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_are_found_by_the_names_of_the_field(tmp_path: Path, source: str, suffix: str) -> None:
    tables(tmp_path, HEADERS[source], suffix)
    checked = check_data([tmp_path], Answers(sign_rule="shiu", unknown_transmitter="drop"))
    found = checked.values["data"]["connectome"]
    assert {role: found[role] for role in ROLES} == dict(zip(ROLES, HEADERS[source], strict=True))
    assert checked.connectome is not None
    assert checked.connectome.transmitters == {"acetylcholine": 2, "gaba": 1, "": 1}
    assert checked.connectome.unknown == {"fly-paper": 1, "shiu": 1, "worm": 1}
    assert (checked.connectome.summary.neurons, checked.connectome.summary.synapses) == (4, 6)  # one is dropped
    assert checked.said["data.connectome.pre"].startswith("by its name")


def test_the_written_configuration_stands_for_the_same_data(folder: Path) -> None:
    checked = check_data([folder], Answers(sign_rule="fly-paper"))
    assert checked.ready, (checked.questions, checked.problems)
    inside = folder / "inside"
    inside.mkdir()
    path = inside / "config.toml"
    path.write_text(config_text(checked, inside), encoding="utf-8")
    assert MARK not in path.read_text(encoding="utf-8") and str(folder) not in path.read_text(encoding="utf-8")
    data = configuration.read(path).data
    brain, (original, _) = connectome_from_config(data), teacher()
    assert np.array_equal(brain.counts, original.counts) and np.array_equal(brain.signs, original.signs)
    cut = recordings_from_config(data)
    assert [movie.units for movie in cut] == [movie.units for movie in raw_movies()]
    assert [movie.steps[-1]["step"] for movie in cut] == ["scale"] * len(cut)
    again = check_data([path])
    assert again.ready and again.connectome is not None and again.unit_column == checked.unit_column
    for one, other in zip(again.recordings, checked.recordings, strict=True):
        assert (one.median, one.beyond, one.flat_units) == (other.median, other.beyond, other.flat_units)


def test_what_is_open_is_a_marked_line_and_a_fit_says_so(folder: Path) -> None:
    ran = run("check", folder, "--write", folder / "config.toml")
    assert ran.exit_code == 0 and "--sign-rule" in ran.output and "fill in 1 line first" in ran.output
    text = (folder / "config.toml").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if MARK in line and "sign" in line]
    with pytest.raises(ConfigError, match=r"sign_rule is not set"):
        connectome_from_config(configuration.read(folder / "config.toml").data)
    filled = text.replace('# sign_rule = ""', 'sign_rule = "shiu"')
    (folder / "config.toml").write_text(filled, encoding="utf-8")
    assert check_data([folder / "config.toml"]).ready


def test_gaps_flat_units_drift_and_missing_values_are_said_and_written(folder: Path) -> None:
    _, movies = teacher()
    values = movies[0].values.astype(float).copy()
    values[:, 1] = 3.0
    values[150:, 2] += 1e3
    values[20:30] = np.nan
    table = pd.DataFrame(values, columns=movies[0].units)
    table.to_csv(folder / "odd.csv", index=False)
    checked = check_data([folder], Answers(sign_rule="shiu", frame_rate=2.0))
    odd = next(each for each in checked.recordings if each.recording.name == "odd")
    assert (odd.empty_frames, odd.longest_gap) == (10, 10)
    assert odd.flat_units == (movies[0].units[1],)
    assert movies[0].units[2] in odd.drifting_units
    assert checked.values["data"]["recording_files"]["missing"] == "mask"
    assert checked.values["data"]["preprocess"][0]["drop"] == [movies[0].units[1]]
    # Only the file that does not say its rate is given one.
    each = checked.values["data"]["recording_files"]["each"]
    assert [own.get("frame_rate") for own in each].count(2.0) == 1
    (folder / "config.toml").write_text(config_text(checked, folder), encoding="utf-8")
    read = recordings_from_config(configuration.read(folder / "config.toml").data)
    assert {movie.name for movie in read} >= {"odd"} and all(movies[0].units[1] not in movie.units for movie in read)


@pytest.mark.parametrize("also_a_gap", [False, True])
def test_units_without_any_value_are_left_out_and_others_stay_complete(tmp_path: Path, also_a_gap: bool) -> None:
    names = ["a", "b", "c", "d"]
    edges = pd.DataFrame({"pre": names, "post": names[1:] + names[:1], "weight": [1, 2, 3, 4]})
    edges.to_csv(tmp_path / "edges.csv", index=False)
    table = pd.read_csv(movie_of(names, tmp_path))
    table["c"] = np.nan
    if also_a_gap:
        table.loc[3, "a"] = np.nan
    movie_of(names, tmp_path).rename(tmp_path / "whole.csv")
    table.to_csv(tmp_path / "movie.csv", index=False)
    checked = check_data([tmp_path], Answers(unknown_transmitter="excitatory"))
    assert checked.ready, (checked.questions, checked.problems)
    section = checked.values["data"]["recording_files"]
    wanted = {"missing": "mask"} if also_a_gap else {"empty_units": "drop"}
    assert {key: section.get(key) for key in ("missing", "empty_units") if key in section} == wanted
    text = config_text(checked, tmp_path)
    assert ("units without any value are left out: 1 of movie.csv" in text) is not also_a_gap
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    read = recordings_from_config(configuration.read(tmp_path / "c.toml").data)
    assert "units without any observed value are left out: c" in str(read[0].notes["cautions"])
    assert {each.name: each.units for each in read} == {"movie": ("a", "b", "d"), "whole": tuple(names)}


def test_recordings_of_one_name_are_named_apart(folder: Path) -> None:
    movie = raw_movies()[0]
    for mouse in ("m1", "m2"):
        (folder / mouse).mkdir()
        table = pd.DataFrame(movie.values, columns=movie.units)
        table.insert(0, "time_s", np.arange(len(table)) / 2)
        table.to_csv(folder / mouse / "dff.csv", index=False)
    checked = check_data([folder], Answers(sign_rule="shiu"))
    assert checked.ready
    assert {each.recording.name for each in checked.recordings} >= {"m1-dff", "m2-dff"}
    (folder / "config.toml").write_text(config_text(checked, folder), encoding="utf-8")
    read = recordings_from_config(configuration.read(folder / "config.toml").data)
    assert [each.name for each in read] == [each.recording.name for each in checked.recordings]


def test_two_edge_tables_are_asked_for(folder: Path) -> None:
    (folder / "edges_old.csv").write_bytes((folder / "edges.csv").read_bytes())
    checked = check_data([folder], Answers(sign_rule="shiu"))
    (question,) = checked.questions
    assert question.option == "edges" and len(question.choices) == 2
    chosen = check_data([folder], Answers(sign_rule="shiu", edges=str(folder / "edges_old.csv")))
    assert chosen.ready and chosen.values["data"]["connectome"]["edges"].endswith("edges_old.csv")
    assert [path.name for path, _ in chosen.left_out] == ["edges.csv"]
    assert check_data([folder], Answers(sign_rule="shiu", leave_out=(str(folder / "edges_old.csv"),))).ready


def test_ids_are_the_column_that_the_edge_table_knows(tmp_path: Path) -> None:
    pd.DataFrame({"pre": ["x1", "x2"], "post": ["x2", "x1"], "weight": [1, 2]}).to_csv(tmp_path / "e.csv", index=False)
    cells = {"id": [1, 2], "instance": ["x1", "x2"], "nt": ["ACH", "GABA"]}
    pd.DataFrame(cells).to_csv(tmp_path / "n.csv", index=False)
    checked = check_data([tmp_path], Answers(sign_rule="shiu"))
    assert checked.values["data"]["connectome"]["id"] == "instance"
    assert "edge table" in checked.said["data.connectome.id"]
    given = check_data([tmp_path], Answers(sign_rule="shiu", columns={"id": "id"}))
    assert any("not in the neuron table" in problem for problem in given.problems)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "no such file or folder"),
        (("empty",), "no table and no recording was found"),
        (("edges.csv", "--column", "prae=pre"), "did you mean 'pre'"),
        (("edges.csv", "--column", "pre=prae"), "did you mean 'pre'"),
        (("edges.csv", "demo"), "are both a connectome"),
        (("movie0.npz", "--option", "serie=x"), "no reader of these files has an option 'serie'"),
        (("notes.md",), "the format is not known"),
        (("broken.csv",), "broken.csv"),
        ((".", "--frame-rate", "-1"), "frame_rate"),
        ((".", "--write", "x.yaml"), "must end with .toml"),
        (("own.json", "movie0.npz"), "name it alone"),
    ],
)
def test_mistakes_are_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments, message: str) -> None:
    monkeypatch.chdir(folder)
    Path("empty").mkdir()
    Path("notes.md").write_text("x", encoding="utf-8")
    Path("broken.csv").write_bytes(b"a,b\n1,\xff\xfe\n\0")
    first = next(path for path in Path().glob("*.npz"))
    first.rename("movie0.npz")
    if "--frame-rate" in arguments:
        pd.DataFrame({"n0": np.arange(9.0)}).to_csv("rateless.csv", index=False)
        arguments = ("rateless.csv", *arguments[1:])
    with pytest.raises((ConfigError, DataError)) as error:
        run("check", *arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_of_a_folder_that_cannot_be_read_are_left_out_and_said(folder: Path) -> None:
    (folder / "broken.npz").write_bytes(b"PK nothing")
    (folder / "notes.md").write_text("x", encoding="utf-8")
    (folder / "text.csv").write_text("a,b\nx,y\n", encoding="utf-8")
    checked = check_data([folder], Answers(sign_rule="shiu", frame_rate=2.0))
    assert {path.name for path, _ in checked.left_out} == {"broken.npz", "text.csv"} and checked.other_files == 1
    assert checked.ready


def test_a_file_is_never_overwritten(folder: Path) -> None:
    (folder / "config.toml").write_text("seed = 5\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is there already"):
        run("new", folder)
    assert (folder / "config.toml").read_text(encoding="utf-8") == "seed = 5\n"


def test_what_a_killed_check_left_is_swept_and_two_at_once_never_mix(folder: Path) -> None:
    written, drawn = folder / "checked.toml", folder / "data.svg"
    left = [unfinished(written), unfinished(drawn)]
    others = [unfinished(folder / "mine.svg"), folder / ".data.svg.x.part"]
    for path in left + others:
        path.write_text("half", encoding="utf-8")
    with claimed_file(written):
        holder = (
            f"from pathlib import Path; from connfit._system.claimed_file import claimed_file\n"
            f"with claimed_file(Path({str(written)!r})): pass"
        )
        second = subprocess.run([sys.executable, "-c", holder], capture_output=True, text=True)
        assert "is being written by another process" in second.stderr
    assert run("check", folder, "--sign-rule", "shiu", "--write", written, "--figure", drawn).exit_code == 0
    assert {path.name for path in folder.glob(".*")} == {path.name for path in others}
    assert written.exists() and drawn.exists()


def test_without_a_terminal_new_names_the_options_that_answer(folder: Path) -> None:
    ran = run("new", folder, asked="shiu\n")
    assert ran.exit_code == 2 and "--sign-rule" in ran.output and not (folder / "config.toml").exists()
    assert run("new", folder, "--sign-rule", "shiu").exit_code == 0
    assert check_data([folder / "config.toml"]).ready


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Commands as on a terminal, with what is typed."""
    monkeypatch.setattr(check_command, "_is_terminal", lambda: True)
    return lambda asked, *arguments: run(*arguments, asked=asked)


def test_new_asks_on_a_terminal(folder: Path, terminal) -> None:
    pd.DataFrame(raw_movies()[0].values, columns=raw_movies()[0].units).to_csv(folder / "plain.csv", index=False)
    ran = terminal("shiu\nfast\n2\n", "new", folder)
    assert ran.exit_code == 0, ran.output
    data = configuration.read(folder / "config.toml").data
    assert data.sign_rule == "shiu" and check_data([folder / "config.toml"]).ready


def test_an_end_of_input_at_a_question_writes_nothing(folder: Path, terminal) -> None:
    ran = terminal("", "new", folder)
    assert ran.exit_code == 130 and not (folder / "config.toml").exists()


def test_odd_names_are_kept_and_shown(folder: Path) -> None:
    odd = folder / 'a "b"\n\x7f\x1b[31m #.csv'
    table = pd.DataFrame(raw_movies()[0].values, columns=raw_movies()[0].units)
    table.insert(0, "time_s", np.arange(len(table)) / 2)
    table.to_csv(odd, index=False)
    ran = run("check", folder, "--sign-rule", "shiu", "--write", folder / "config.toml")
    assert ran.exit_code == 0 and "\x1b[31m" not in ran.output
    files = configuration.read(folder / "config.toml").data.recording_files
    assert files is not None and str(odd.resolve()) in files.files


def test_a_name_that_no_configuration_can_hold_is_said(folder: Path) -> None:
    target = os.fsencode(folder) + b"/\xff.csv"
    os.rename(os.fsencode(folder / "edges.csv"), target)
    with pytest.raises((DataError, ConfigError)) as error:
        run("check", folder, "--sign-rule", "shiu", "--write", folder / "config.toml")
    assert "surrogate" in str(error.value) or "half of" in str(error.value)


def test_a_dataset_stands_for_its_connectome(folder: Path) -> None:
    checked = check_data(["demo", *folder.glob("*.npz")])
    assert checked.connectome is not None and checked.connectome.summary.neurons == 2000
    assert any("no unit of recording" in problem for problem in checked.problems)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_data_are_drawn(folder: Path, suffix: str) -> None:
    path = folder / f"seen{suffix}"
    ran = run("check", folder, "--sign-rule", "shiu", "--figure", path)
    assert ran.exit_code == 0 and path.stat().st_size > 5000


def test_the_connectome_of_the_configuration_is_that_of_the_tables(folder: Path) -> None:
    checked = check_data([folder / "edges.csv", folder / "neurons.csv"], Answers(sign_rule="fly-paper"))
    direct = connectome_from_tables("x", folder / "edges.csv", folder / "neurons.csv", sign_rule="fly-paper")
    assert checked.connectome is not None
    assert np.array_equal(checked.connectome.connectome.indices, direct.indices)
    assert [question.option for question in checked.questions] == ["recordings"]
    assert json.dumps(checked.values)


def test_a_column_of_the_neuron_table_that_names_the_units_is_asked_for(folder: Path) -> None:
    cells = pd.read_csv(folder / "neurons.csv")
    renamed = {name: f"cell {k}" for k, name in enumerate(cells["id"])}
    cells["atlas"] = cells["id"]
    cells["id"] = cells["id"].map(renamed)
    cells.to_csv(folder / "neurons.csv", index=False)
    edges = pd.read_csv(folder / "edges.csv").replace({"pre": renamed, "post": renamed})
    edges.to_csv(folder / "edges.csv", index=False)
    (question,) = check_data([folder], Answers(sign_rule="shiu")).questions
    assert question.key == "data.connectome.type" and question.choices == ("atlas",)
    ran = run("check", folder, "--sign-rule", "shiu")
    assert "8 of 8 are in the column atlas" in ran.output and "--column type=TITLE" in ran.output
    answered = check_data([folder], Answers(sign_rule="shiu", columns={"type": "atlas"}))
    assert answered.ready and answered.unit_column == "type"


def movie_of(names: list[str], folder: Path) -> Path:
    """A recording of units with these names."""
    values = np.random.default_rng(0).normal(size=(200, len(names)))
    table = pd.DataFrame({"time_s": np.arange(200) / 2, **dict(zip(names, values.T, strict=True))})
    table.to_csv(folder / "movie.csv", index=False)
    return folder / "movie.csv"


def test_a_matrix_of_70_regions_asks_for_its_rows_and_signs(tmp_path: Path) -> None:
    names = [f"Ré{k}" for k in range(70)]
    weights = np.random.default_rng(1).uniform(0.09, 1, (70, 70)) * (1 - np.eye(70))
    pd.DataFrame(weights, names, names).to_csv(tmp_path / "regions.csv")
    movie_of(names, tmp_path)
    asked = check_data([tmp_path])
    assert [(each.option, each.choices) for each in asked.questions] == [
        ("rows", ("pre", "post")), ("unknown_transmitter", ("excitatory", "inhibitory")),
    ]  # fmt: skip
    assert asked.values["data"]["connectome"]["format"] == "matrix"
    known = {"--wiring-option": "rows=post", "--unknown-transmitter": "excitatory", "--write": tmp_path / "c.toml"}
    ran = run("check", tmp_path, *(part for pair in known.items() for part in pair))
    assert ran.exit_code == 0 and "ready to fit" in ran.output and "weights" in ran.output
    brain = connectome_from_config(configuration.read(tmp_path / "c.toml").data)
    i, j = brain.index_of(["Ré3", "Ré5"])
    assert brain.matrix(brain.counts)[i, j] == pytest.approx(weights[3, 5])


def test_weights_signs_and_tables_without_sizes_or_neurons(tmp_path: Path) -> None:
    pre, post = ["a", "b", "c", "a"], ["b", "c", "a", "c"]
    movie_of(["a", "b", "c"], tmp_path)
    edges = pd.DataFrame({"source": pre, "target": post, "weight": [0.5, -0.25, 1.0, 0.1]})
    edges.to_csv(tmp_path / "e.csv", index=False)
    checked = check_data([tmp_path])
    tables = checked.values["data"]["connectome"]
    assert tables["weight"] == "weight" and "count" not in tables and "neurons" not in tables
    assert checked.connectome is not None and checked.connectome.has_signs and checked.ready
    edges.drop(columns="weight").to_csv(tmp_path / "e.csv", index=False)
    single = check_data([tmp_path], Answers(unknown_transmitter="excitatory"))
    assert single.values["data"]["connectome"]["options"] == {"row_is_synapse": True} and single.ready
    assert single.connectome is not None and single.connectome.summary.synapses == 4
    (tmp_path / "c.toml").write_text(config_text(single, tmp_path), encoding="utf-8")
    assert connectome_from_config(configuration.read(tmp_path / "c.toml").data).m == 4


def test_graphs_and_sonata_are_wiring_and_other_hdf5_is_not(tmp_path: Path) -> None:
    networkx = pytest.importorskip("networkx")
    graph = networkx.DiGraph()
    graph.add_weighted_edges_from([("a", "b", 0.5), ("b", "c", 0.2), ("c", "a", 0.3)])
    networkx.write_graphml(graph, tmp_path / "brain.graphml")
    movie_of(["a", "b", "c"], tmp_path)
    checked = check_data([tmp_path], Answers(unknown_transmitter="excitatory"))
    assert checked.values["data"]["connectome"]["format"] == "graphml" and checked.ready, checked.questions
    (tmp_path / "brain.graphml").unlink()
    with h5py.File(tmp_path / "edges.h5", "w") as file:
        for end, key in (([0, 1, 2], "source_node_id"), ([1, 2, 0], "target_node_id")):
            file[f"edges/all/{key}"] = np.array(end)
            file[f"edges/all/{key}"].attrs["node_population"] = "v1"
        file["edges/all/edge_type_id"], file["edges/all/edge_group_id"] = np.zeros(3, int), np.zeros(3, int)
        file["edges/all/edge_group_index"] = np.arange(3)
        file["edges/all/0/nsyns"] = np.array([1, 2, 3])
    found = check_data([tmp_path], Answers(unknown_transmitter="excitatory"))
    assert found.values["data"]["connectome"]["format"] == "sonata"
    assert found.connectome is not None and found.connectome.summary.synapses == 6
