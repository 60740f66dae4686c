"""Files of a run that somebody edited, lost or mixed up: one line names the file, whatever reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small import write_files

from connfit import config as configuration
from connfit._io import read_arrays, write_arrays
from connfit.errors import ConnfitError
from connfit.evaluation.evaluate_run import compare_with_nulls
from connfit.training import runs

LITTLE = (
    "train.epochs=2", "train.free_run_epochs=0", "evaluate.baselines=[]", "evaluate.left_out_units=0",
    "evaluate.horizons=[1]",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished fit in `run`, and the same of another seed and of another learning rate."""
    folder = tmp_path_factory.mktemp("whole")
    config = configuration.override(configuration.read(write_files(folder)), LITTLE)
    runs.start(config, folder / "run")
    runs.start(configuration.override(config, ["seed=4"]), folder / "other")
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(whole / "run", tmp_path / "run"))


Damage = Callable[[Path], object]


def text(content: str | bytes) -> Damage:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def keys(**changes: Any) -> Damage:
    """Other values in a JSON file, None to remove one; `a__b` is b of a."""

    def change(path: Path) -> None:
        values = json.loads(path.read_text(encoding="utf-8"))
        for key, value in changes.items():
            place = values
            *outer, last = key.split("__")
            for name in outer:
                place = place[name]
            if value is None:
                del place[last]
            else:
                place[last] = value
        path.write_text(json.dumps(values), encoding="utf-8")

    return change


def arrays(of: Callable[[dict[str, np.ndarray], dict[str, Any]], object]) -> Damage:
    """Other arrays or facts in a file of arrays."""

    def change(path: Path) -> None:
        found, meta = read_arrays(path)
        of(found, meta)
        write_arrays(path, found, meta)

    return change


def put(key: str, value: Any) -> Damage:
    return arrays(lambda found, _: found.__setitem__(key, value(found[key]) if callable(value) else value))


def fact(key: str, value: Any) -> Damage:
    return arrays(lambda _, meta: meta.__setitem__(key, value))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: np.concatenate([[np.float32(value)], array.ravel()[1:]]).reshape(array.shape).astype("f4")


EVERY: Mapping[str, Damage] = {"a folder": folder, "a link to nothing": link, "empty": text(b""), "cut": cut}
JSON = {
    **EVERY, "a list": text("[]"), "NaN": text("NaN"), "not UTF-8": text(b"\xff\xfe{}"), "deep": text('{"a":' * 9000)
}  # fmt: skip
STATE = "checkpoints/latest.npz"

DAMAGES: Mapping[str, Mapping[str, Damage]] = {
    "config.json": {
        **{name: damage for name, damage in JSON.items() if name != "a folder"},
        "unknown option": keys(train__epoch=3), "wrong type": keys(train__epochs="many"), "no data": keys(data=None),
        "learning rate": keys(train__learning_rate=0.02), "seed": keys(seed=8), "epochs": keys(train__epochs=9),
        "rule": keys(learner__credit="none"), "cut of the data": keys(data__gap=1), "steps": keys(data__preprocess=[]),
        "rule options": keys(learner__rule_options={"a": 1}),
    },
    "record.json": {
        **JSON, "no fingerprint": keys(data_fingerprint=None), "fingerprint": keys(data_fingerprint=3),
        "options": keys(options={"a": 1}), "recipe": keys(recipe=3),
        "chosen": keys(recipe={"chosen": {}, "candidates": 3}), "connectome": keys(connectome=[]),
        "notes": keys(connectome__notes=3), "parameters": keys(parameters={"weights": "many"}),
    },
    "parameters.npz": {
        **EVERY, "NaN": put("weights", first(np.nan)), "a sign": put("weights", first(-1.0)),
        "size": put("bias", lambda bias: bias[:-1]), "type": put("bias", lambda bias: bias.astype(int)),
        "another group": put("gains2", np.zeros(3)), "no drive": arrays(lambda found, _: found.pop("drive")),
        "history": fact("history", 3), "row": fact("history", [{"a": 1}]), "rates": fact("rates", {"a": 1}),
        "best": fact("best_epoch", 99), "performance": fact("performance", []),
    },
    STATE: {
        **EVERY, "NaN": put("params/bias", first(np.inf)), "a sign": put("best/weights", first(-1.0)),
        "size": put("mu/bias", lambda bias: bias[:-1]), "no moment": arrays(lambda found, _: found.pop("nu/bias")),
        "count": put("count", np.zeros(3)), "optimiser": fact("optimiser", "sgd"), "phase": fact("phase", 7),
        "epoch": fact("epoch", "two"), "history": fact("history", [[1]]), "best": fact("best_epoch", 99),
        "another group": put("params/gains2", np.zeros(3)), "text": put("params/bias", np.array(["a", "b"])),
        "long decimals": put("params/bias", lambda bias: bias.astype(np.longdouble)),
        "byte order": put("nu/bias", lambda bias: bias.astype(">f8")),
    },
}  # fmt: skip


def refused(action: Callable[[], object], name: str) -> str:
    with pytest.raises(ConnfitError) as found:
        action()
    said = str(found.value)
    assert Path(name).name in said and "\n" not in said and len(said) < 2000, said
    return said


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_of_a_fit_is_named(name: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = runs.load_job(run)
    # Preparing data takes most of the time, and is the same each time.
    monkeypatch.setattr(runs, "prepare", lambda *_: job)
    action = runs.resume if name == STATE else runs.load_fit
    good = (run / name).read_bytes()
    if name == STATE:
        (run / "parameters.npz").unlink()
    unseen = []
    for damage, change in DAMAGES[name].items():
        change(run / name)
        try:
            refused(lambda: action(run), name)
        except (AssertionError, pytest.fail.Exception) as error:
            unseen.append(f"{damage}: {error}")
        except Exception as error:
            unseen.append(f"{damage}: {error!r}")
        if (run / name).is_dir():
            (run / name).rmdir()
        (run / name).unlink(missing_ok=True)
        (run / name).write_bytes(good)
    assert not unseen, "\n".join(unseen)
    action(run)


def test_what_changed_in_the_options_is_said(run: Path) -> None:
    before = json.loads((run / "config.json").read_text())["train"]["learning_rate"]
    keys(train__learning_rate=0.5, seed=8)(run / "config.json")
    said = refused(lambda: runs.resume(run), "config.json")
    assert f"train.learning_rate: {before} then, 0.5 now" in said and "seed: 3 then, 8 now" in said
    assert said.endswith("set them back, or start a new run")


def test_what_does_not_touch_the_fit_may_change(run: Path, whole: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(whole, tmp_path / "moved", ignore=lambda *_: ["run", "other"]))
    values = json.loads((run / "config.json").read_text())
    text(json.dumps(values).replace(str(whole), str(moved)))(run / "config.json")
    keys(train__checkpoint_every=5, train__check_memory=False, evaluate__horizons=[1, 3])(run / "config.json")
    assert runs.load_fit(run).job.config.evaluate.horizons == (1, 3)  # type: ignore[union-attr]
    assert str(moved) in (run / "config.json").read_text()


def test_runs_of_versions_that_kept_less_still_open(run: Path) -> None:
    keys(options=None, neurons_fingerprint=None)(run / "record.json")
    for name in ("parameters.npz", STATE):
        arrays(lambda _, meta: meta.pop("of"))(run / name)
    assert runs.load_fit(run).history
    (run / "parameters.npz").unlink()
    assert runs.resume(run).history


@pytest.mark.parametrize("name", ["parameters.npz", STATE])
def test_a_file_of_another_run_is_refused(name: str, run: Path, whole: Path) -> None:
    shutil.copy(whole / "other" / name, run / name)
    if name == STATE:
        (run / "parameters.npz").unlink()
    said = refused(lambda: (runs.resume if name == STATE else runs.load_fit)(run), name)
    assert "of another run" in said


def test_a_column_of_the_neuron_table_that_changed_is_noticed(whole: Path, run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(whole, tmp_path / "moved", ignore=lambda *_: ["run", "other"]))
    table = (moved / "neurons.csv").read_text().replace(",gaba", ",GABA", 1)
    (moved / "neurons.csv").write_text(table)
    text((run / "config.json").read_text().replace(str(whole), str(moved)))(run / "config.json")
    with pytest.raises(ConnfitError, match="are not those that this run was made from"):
        runs.load_fit(run)


def attribute(file: h5py.File) -> None:
    file.attrs["connfit_connectome"] = 99


def replaced(key: str, of: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        values = of(file[key][:])  # type: ignore[index]
        del file[key]
        file[key] = values

    return change


def without(key: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(key)


def notes(file: h5py.File) -> None:
    del file["notes"]
    file.create_dataset("notes", data="[3]", dtype=h5py.string_dtype())


CONNECTOME: Mapping[str, Callable[[h5py.File], object]] = {
    "an index out of range": replaced("indices", lambda of: of + 1000),
    "decimals": replaced("counts", lambda of: of + 0.5),
    "no signs": without("signs"),
    "another sign": replaced("signs", lambda of: of * 3),
    "fewer counts": replaced("counts", lambda of: of[:-1]),
    "electrical": replaced("electrical", lambda of: of.astype(float)),
    "version": attribute,
    "order": replaced("indices", lambda of: of[::-1]),
    "no table": without("neurons"),
    "notes": notes,
    "another brain": replaced("signs", lambda of: -of),
}


@pytest.mark.parametrize("damage", CONNECTOME)
def test_a_damaged_connectome_is_named_by_what_reads_it(damage: str, run: Path) -> None:
    from connfit.analysis.perturbation import Experiment, run_experiment

    with h5py.File(run / "connectome.h5", "a") as file:
        CONNECTOME[damage](file)
    refused(lambda: run_experiment(run, Experiment(silence=("id:n3",), seconds=3)), "connectome.h5")


def test_runs_that_are_compared_are_read_as_strictly(run: Path, whole: Path) -> None:
    for name, content in (("metrics.json", "[]"), ("config.json", '{"data": 3}')):
        kept = (run / name).read_bytes() if (run / name).exists() else None
        (run / name).write_text(content)
        said = refused(lambda: compare_with_nulls(run, [whole / "other"]), name)
        assert "not an evaluated run" in said
        (run / name).unlink() if kept is None else (run / name).write_bytes(kept)
