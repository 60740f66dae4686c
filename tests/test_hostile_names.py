"""Names that steer terminals, are markup, formulas, templates or paths go through every command as they are."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from html import escape
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hostile import NAMES, RECORDINGS, UNSTORABLE, write_hostile_files
from rich.progress import Progress, TextColumn
from small import regional_connectome

from connfit._console import Output, literal
from connfit._display import visible
from connfit._io import csv_text
from connfit.analysis.perturbation import Experiment
from connfit.cli import main
from connfit.config import from_dict
from connfit.connectome import Connectome
from connfit.connectome.matching import find_column, match_units
from connfit.connectome.table_files import read_table
from connfit.errors import ConfigError, ConnfitError, DataError, first_ten
from connfit.recordings import Recording
from connfit.recordings.readers import read_recording
from connfit.report import page
from connfit.report.figures.style import LONGEST, drawable
from connfit.training.runs import load_fit

CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
LITTLE = (
    "train.epochs=1", "train.free_run_epochs=0", "evaluate.baselines=[\"mean\"]", "evaluate.left_out_units=0",
    "evaluate.horizons=[1]", "evaluate.free_run_runs=2",
)  # fmt: skip


@dataclass(frozen=True)
class Spoken:
    code: int
    out: str
    err: str


def say(*arguments: str) -> Spoken:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["connfit", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    spoken = Spoken(int(ended.value.code or 0), out.getvalue(), err.getvalue())
    assert not CONTROLS.search(spoken.out + spoken.err), spoken
    assert "Traceback" not in spoken.err
    return spoken


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the hostile project, in `run [b]`."""
    folder = tmp_path_factory.mktemp("hostile")
    config = write_hostile_files(folder)
    settings = [part for option in LITTLE for part in ("--set", option)]
    spoken = say("fit", str(config), "--out", str(folder / "run [b]"), *settings)
    assert spoken.code == 0 and "could not be drawn" not in spoken.err, spoken.err
    assert f"{visible(RECORDINGS[1])}: {len(NAMES)} of {len(NAMES)} units match" in spoken.err
    assert "run directory: " in spoken.out and "run [b]" in spoken.out
    return folder


def test_a_fit_keeps_every_name(project: Path) -> None:
    run = project / "run [b]"
    assert list(Connectome.load(run / "connectome.h5").neurons["id"]) == list(NAMES)
    fit = load_fit(run)
    assert list(fit.neurons_table()["id"]) == list(NAMES)
    assert set(fit.weights_table()["pre_id"]) | set(fit.weights_table()["post_id"]) <= set(NAMES)
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["recordings"]) == list(RECORDINGS[:2])
    assert list(metrics["held_out"]["recordings"]) == [RECORDINGS[2]]
    record = json.loads((run / "record.json").read_text())
    assert record["recordings"][RECORDINGS[0]]["matched"] == list(NAMES)
    assert fit.cohort.units == NAMES
    assert not [path for path in project.parent.iterdir() if path.name in ("x", "x.npz")]


def test_a_page_shows_every_name_as_text(project: Path) -> None:
    html = (project / "run [b]" / "report.html").read_text(encoding="utf-8")
    assert not CONTROLS.search(html)
    assert "<script>alert" not in html and "<img src=x" not in html
    assert all(page.escaped(name) in html for name in RECORDINGS)
    for svg in (project / "run [b]" / "figures").glob("*.svg"):
        ET.parse(svg)


@pytest.mark.slow
def test_a_simulation_keeps_every_name(project: Path) -> None:
    sets = ("id:\x1b[31mred\x1b[0m", "type:[/red]")
    said = say("simulate", str(project / "run [b]"), "--seconds", "3", *(f"--silence={each}" for each in sets),
               "--readout", "note:a\nb")  # fmt: skip
    assert said.code == 0, said.err
    [out] = (project / "run [b]" / "simulations").iterdir()
    with (out / "perturbation_neurons.csv").open(newline="", encoding="utf-8") as file:
        csv.field_size_limit(10**6)
        rows = list(csv.DictReader(file))
    assert sorted(row["id"] for row in rows) == sorted(NAMES)
    assert json.loads((out / "perturbation.json").read_text())["sets"][0]["set"] == sets[0]


@pytest.mark.slow
def test_every_other_command_runs(project: Path) -> None:
    run, config = str(project / "run [b]"), str(project / "own [red].toml")
    for command in (
        ("evaluate", run), ("analyze", run, "--repeats", "20", "--power-draws", "0"), ("report", run), ("resume", run),
        ("gradcheck", config, "--frames", "20", "--out", str(project / "g [/red]")),
        ("evaluate", run, "--full", "--seeds", "1", "--rows", "shuffle_signs", "--rows", "mean", "--jobs", "1"),
    ):  # fmt: skip
        said = say(*command)
        assert said.code == 0, (command, said.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "\x1b[31m[/red]"), ("data", "fetch", "\u202e[/red]"), ("data", "info", "[/red]"),
        ("list", "[/red]\x07"),
        ("report", "no[/red]\x1b"), ("analyze", "no[/red]\n"), ("evaluate", "[/b]"),
        ("resume", "[/b]\x9b"),
        ("simulate", "[/b]\r", "--silence", "id:3"), ("fit", "demo", "--set", "train.\x1b=3"),
        ("[/red]",),
        ("fit", "demo", "--epochs", "[/red]"),
        ("report", "half\udcff"), ("fit", "demo", "--out", "half\udcff"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_one_line(
    arguments: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = say(*arguments)
    assert said.code == 2 and (said.err.count("\n") == 1 or "Usage" in said.err), said


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_in_every_way_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    output = Output()
    output.file, output.width = stream, 20_000
    output.print(f"<{name}>", soft_wrap=True)
    output.print(literal(f"<{name}>"), soft_wrap=True)
    with Progress(TextColumn("{task.description}", markup=False), console=output) as bar:
        bar.add_task(f"<{name}>")
    with output.status(f"<{name}>"):
        pass
    text = stream.getvalue()
    assert not CONTROLS.search(text)
    shown = f"<{visible(name)}>"
    assert text.replace("\n", "\\n").count(shown) >= 2
    assert visible(name)[:50] in first_ten([name]) and not CONTROLS.search(str(ConfigError(name)))
    assert escape(visible(name)).split("\\n")[0] in page.paragraph(name)
    assert len(drawable(name)) <= LONGEST
    assert next(csv.reader(io.StringIO(csv_text([[name, 1]]), newline=""))) == [name, "1"]


def test_folders_of_simulations_differ_where_their_sets_do() -> None:
    names = [Experiment(silence=(f"id:{name}",)).folder_name() for name in (*NAMES, "漢" * 300, "字" * 300)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\w[\w.=-]*", name) and len(name.encode()) < 200 for name in names)
    assert Experiment(silence=("id:n3",)).folder_name() == "silence-id-n3"


@pytest.mark.parametrize("name", UNSTORABLE)
def test_what_no_file_can_hold_is_refused_where_it_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, values=np.ones((9, 2)), units=np.array(["fine", name]), frame_rate=2.0)
    with pytest.raises(DataError, match=r"a\.npz: unit .* in column 1 \(counted from 0\) holds"):
        read_recording(path)
    with pytest.raises(DataError, match=r"the name .* holds"):
        Recording(name, np.ones((9, 1)), ("a",), 2.0)
    table = pd.DataFrame({"id": pd.Series(["a", name], dtype=object), "type": pd.Series([name, "b"], dtype=object)})
    with pytest.raises(DataError, match=r"row 2: id = .* holds"):
        read_table(table, "neurons").ids("id")
    with pytest.raises(DataError, match=r"row 1: type = .* holds"):
        read_table(table[["type"]], "neurons").text("type")
    brain = regional_connectome()
    with pytest.raises(DataError, match=r"row 1 of the neuron table: region = .* holds"):
        neurons = brain.neurons.assign(region=pd.Series([name] * brain.n, dtype=object))
        Connectome("b", brain.indptr, brain.indices, brain.counts, brain.signs, neurons)
    with pytest.raises(ConfigError, match=r"data\.recordings = .* holds"):
        from_dict({"data": {"dataset": "demo", "recordings": [name]}})


def test_a_csv_with_a_name_that_holds_nul_names_its_row(tmp_path: Path) -> None:
    (tmp_path / "neurons.csv").write_bytes(b"id,type\na,x\nb,y\0z\n")
    with pytest.raises(DataError, match=r"neurons\.csv: row 2: type = 'y\\x00z' holds NUL"):
        read_table(tmp_path / "neurons.csv", "neurons").text("type")


@pytest.mark.parametrize("units", [("aval", "avar"), ("n01", "n002"), ("N-1", "N_2"), (" n1", "n 2 ")])
def test_units_that_all_differ_in_case_or_padding_get_a_suggestion(units: tuple[str, ...]) -> None:
    ids = ["AVAL", "AVAR"] if units[0] == "aval" else ["n1", "n2"]
    brain = regional_connectome(neurons=2, regions=1)
    brain = Connectome(
        "b", brain.indptr, brain.indices, brain.counts, brain.signs, brain.neurons.assign(id=ids, region="R")
    )
    for ask in (lambda: find_column(units, brain, name="movie"), lambda: match_units(units, brain)):
        with pytest.raises(ConnfitError) as found:
            ask()
        assert f"{units[0]!r}: did you mean {ids[0]!r}?" in str(found.value)
        assert f"{units[1]!r}: did you mean {ids[1]!r}?" in str(found.value)


def test_names_in_hdf5_come_back(tmp_path: Path) -> None:
    brain = regional_connectome(neurons=len(NAMES))
    brain = Connectome(
        NAMES[0], brain.indptr, brain.indices, brain.counts, brain.signs,
        brain.neurons.assign(id=NAMES, region=NAMES, side=NAMES),
    )  # fmt: skip
    brain.save(tmp_path / "b.h5")
    found = Connectome.load(tmp_path / "b.h5")
    assert found.name == NAMES[0]
    for column in ("id", "region", "side"):
        assert list(found.neurons[column]) == list(NAMES)
    with h5py.File(tmp_path / "b.h5") as file:
        assert "neurons" in file
