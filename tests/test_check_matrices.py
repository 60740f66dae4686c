"""`connfit check` and square matrices: which files hold one, what names their rows, and text that is neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from connfit import cli
from connfit import config as configuration
from connfit.datasets.loading import connectome_from_config
from connfit.datasets.own_files import Answers, check_data, config_text
from connfit.datasets.own_files.matrix_files import matrix_size
from connfit.errors import DataError
from connfit.report.figures.check_figure import check_figure

NAMES = ("V1", "V2", "MT", "FEF", "LIP")
WEIGHTS = np.where(np.eye(5) > 0, 0, np.arange(25).reshape(5, 5) / 25 - 0.4).round(2)
KNOWN = Answers(wiring_options={"rows": "post"})


def matlab(path: Path, **more: object) -> None:
    scipy.io.savemat(path, {"W": WEIGHTS, "names": np.array(NAMES, object), **more})


WRITERS: dict[str, Callable[[Path], None]] = {
    "W.npy": lambda path: np.save(path, WEIGHTS),
    "W.txt": lambda path: np.savetxt(path, WEIGHTS, header="from a tracer"),
    "W.csv": lambda path: np.savetxt(path, WEIGHTS, delimiter=","),
    "W.tsv": lambda path: np.savetxt(path, WEIGHTS, delimiter="\t"),
    "W.txt.gz": lambda path: np.savetxt(path, WEIGHTS),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recording of all regions."""
    values = np.random.default_rng(0).normal(size=(200, 5))
    movie = pd.DataFrame({"time_s": np.arange(200) / 2, **dict(zip(NAMES, values.T, strict=True))})
    movie.to_csv(tmp_path / "scan.csv", index=False)
    return tmp_path


def weights_of(checked, folder: Path) -> np.ndarray:
    """The matrix that the configuration of a check stands for, in another folder."""
    (folder / "inside").mkdir()
    path = folder / "inside" / "c.toml"
    path.write_text(config_text(checked, path.parent), encoding="utf-8")
    brain = connectome_from_config(configuration.read(path).data)
    order = [list(brain.ids).index(name) for name in NAMES]
    return brain.matrix().toarray()[np.ix_(order, order)]


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_text_file_beside_a_matrix_names_its_rows(folder: Path, name: str) -> None:
    WRITERS[name](folder / name)
    lines = [f"{region} {k} 2.5 -1e3\n" for k, region in enumerate(NAMES)]
    (folder / "centres.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "areas.txt").write_text("1.5\n2.5\n3.5\n4.5\n5.5\n", encoding="utf-8")
    (folder / "README.txt").write_text("Weights of a tracer.\n\nAsk me.\n", encoding="utf-8")
    checked = check_data([folder], KNOWN)
    assert checked.ready, (checked.questions, checked.problems)
    assert checked.values["data"]["connectome"]["options"] == {"rows": "post", "labels": "centres.txt"}
    assert checked.other_files == 2 and not checked.left_out
    np.testing.assert_allclose(weights_of(checked, folder), WEIGHTS, rtol=1e-6)
    ran = CliRunner().invoke(cli.app, ["check", str(folder), "--wiring-option", "rows=post"])
    said = " ".join(ran.output.split())
    assert "labels = centres.txt (its 5 lines begin with different words)" in said
    signs = f"{(WEIGHTS > 0).sum()} excitatory connections, {(WEIGHTS < 0).sum()} inhibitory (signs of the edges)"
    assert signs in said


def test_the_figure_has_the_signs_of_connections_where_there_are_no_transmitters(folder: Path) -> None:
    pd.DataFrame(WEIGHTS, NAMES, NAMES).to_csv(folder / "W.csv")
    *_, axes = check_figure(check_data([folder], KNOWN)).axes
    assert [bar.get_width() for bar in axes.patches] == [(WEIGHTS > 0).sum(), (WEIGHTS < 0).sum()]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["excitatory", "inhibitory"]
    pd.DataFrame(abs(WEIGHTS), NAMES, NAMES).to_csv(folder / "W.csv")
    *_, axes = check_figure(check_data([folder], KNOWN)).axes
    assert not axes.patches and "no signs" in axes.texts[0].get_text()


def test_a_matrix_of_matlab_is_wiring_and_a_movie_is_not(folder: Path) -> None:
    matlab(folder / "W.mat")
    checked = check_data([folder], KNOWN)
    assert checked.ready and checked.values["data"]["connectome"]["options"] == {"rows": "post", "names": "names"}
    np.testing.assert_allclose(weights_of(checked, folder), WEIGHTS, rtol=1e-6)
    matlab(folder / "W.mat", dff=np.zeros((200, 5)))
    assert matrix_size(folder / "W.mat") is None
    (folder / "scan.csv").rename(folder / "scan.off")
    matlab(
        folder / "both.mat",
        dff=np.random.default_rng(0).normal(size=(200, 5)),
        frame_rate=2.0,
        units=np.array(NAMES, object),
    )
    (folder / "W.mat").unlink()
    both = check_data(
        [folder],
        Answers(
            edges=str(folder / "both.mat"), options={"values": "dff"},
            wiring_options={"rows": "post", "values": "W", "names": "names"},
        ),
    )  # fmt: skip
    assert both.ready, (both.questions, both.problems)
    assert both.connectome is not None and [each.recording.units for each in both.recordings] == [NAMES]
    (folder / "both.mat").unlink()
    (folder / "scan.off").rename(folder / "scan.csv")
    matlab(folder / "W.mat", lengths=WEIGHTS)
    (question,) = check_data([folder], KNOWN).questions
    assert question.option == "values" and question.choices == ("W", "lengths")
    assert check_data([folder], Answers(wiring_options={"rows": "post", "values": "W"})).ready
    matlab(folder / "W.mat", others=np.array(NAMES[::-1], object))
    (question,) = check_data([folder], KNOWN).questions
    assert question.option == "names" and set(question.choices) == {"names", "others"}


def test_names_that_are_not_clear_are_asked_for(folder: Path) -> None:
    np.save(folder / "W.npy", WEIGHTS)
    (question,) = check_data([folder], KNOWN).questions
    assert question.key == "data.connectome.options.labels" and "5 rows have no names" in question.text
    (folder / "a.txt").write_text("\n".join(NAMES), encoding="utf-8")
    (folder / "b.txt").write_text("\n".join(NAMES), encoding="utf-8")
    assert check_data([folder], KNOWN).values["data"]["connectome"]["options"]["labels"] == "a.txt"
    (folder / "b.txt").write_text("\n".join(NAMES[::-1]), encoding="utf-8")
    (question,) = check_data([folder], KNOWN).questions
    assert question.option == "labels" and [Path(name).name for name in question.choices] == ["a.txt", "b.txt"]
    ran = CliRunner().invoke(cli.app, ["check", str(folder), "--wiring-option", "rows=post"])
    assert "--wiring-option labels=VALUE" in " ".join(ran.output.split())
    for wrong in ("V1\nV2\nMT\nFEF\n", "V1\nV2\nMT\nFEF\nFEF\n", "V1\nV2\nMT\nFEF\n-\n"):
        (folder / "b.txt").write_text(wrong, encoding="utf-8")
        assert check_data([folder], KNOWN).ready, wrong


def test_text_that_nothing_reads_is_counted_in_a_folder_and_an_error_by_name(folder: Path) -> None:
    pd.DataFrame({"pre": NAMES, "post": NAMES[::-1], "weight": 0.5}).to_csv(folder / "edges.csv", index=False)
    (folder / "README.txt").write_text("Ask me.\n", encoding="utf-8")
    (folder / "places.tsv").write_text("name\tx\nV1\t3\n", encoding="utf-8")
    checked = check_data([folder], Answers(unknown_transmitter="excitatory"))
    assert checked.ready and checked.other_files == 1
    assert [path.name for path, _ in checked.left_out] == ["places.tsv"]
    (folder / "cells.xlsx").write_bytes(b"PK")
    assert ["cells.xlsx", "spreadsheets are not read. Save the sheet as CSV in UTF-8"] in [
        [path.name, why] for path, why in check_data([folder], Answers(unknown_transmitter="excitatory")).left_out
    ]
    with pytest.raises(DataError, match=r"README\.txt: the format is not known"):
        check_data([folder / "edges.csv", folder / "scan.csv", folder / "README.txt"])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([" ", "\t", ",", ";"]), st.booleans())
def test_only_square_text_is_a_matrix(tmp_path_factory, rows: int, columns: int, mark: str, words: bool) -> None:
    path = tmp_path_factory.mktemp("text") / "W.txt"
    table = np.arange(rows * columns).reshape(rows, columns) / 4
    np.savetxt(path, table, delimiter=mark)
    if words:
        path.write_text(path.read_text(encoding="utf-8").replace("0.0", "zero", 1), encoding="utf-8")
    assert matrix_size(path) == (rows if rows == columns > 2 and not words else None)
