"""The examples run as they are, and the documentation shows them as they are."""

from __future__ import annotations

import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from networks import random_connectome
from small import search_little

from connfit import config as configuration
from connfit.analysis.measured.experiments import SILENCING, experiment_of
from connfit.analysis.measured.measured_responses import (
    AMPLITUDES,
    HALVES,
    OBSERVATIONS,
    RESPONDING,
    RESPONDS,
    SILENCED,
    STIMULATED,
    Q,
    ResponseRule,
    members,
    place,
    read_measured,
)
from connfit.analysis.measured.pair_scores import Truth, score_predictor
from connfit.analysis.measured.response_scores import Resamples
from connfit.analysis.measured.silencing_predictors import silencing_wiring
from connfit.analysis.measured.wiring_predictors import distances, wiring_predictors
from connfit.datasets.loading import connectome_from_config
from connfit.datasets.registry import DATASETS
from connfit.errors import DataError
from connfit.training import runs

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "own_data"


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its generated files; returns the configuration."""
    folder = tmp_path_factory.mktemp("own_data")
    for name in ("make_data.py", "config.toml"):
        shutil.copy(EXAMPLE / name, folder / name)
    runpy.run_path(str(folder / "make_data.py"))["main"](folder / "data")
    return folder / "config.toml"


def test_own_data_fits_and_learns(own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search_little(monkeypatch, values=1)
    config = configuration.override(configuration.read(own_data), ["train.epochs=4", "train.free_run_epochs=0"])
    fitted = runs.start(config, tmp_path / "run")
    losses = [row["train_loss"] for row in fitted.history]
    assert losses[-1] < losses[0]
    assert len(fitted.cohort.units) == 50
    assert fitted.cohort.observations("train") < 2 * 30 * 360, "missing values are not counted"


def test_own_data_keeps_ids_and_signs(own_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search_little(monkeypatch, values=1)
    job = runs.prepare(configuration.read(own_data))
    table = pd.read_csv(own_data.parent / "data" / "neurons.csv")
    assert job.connectome.ids.tolist() == table.root_id.tolist()
    assert ((job.connectome.signs > 0) == (table.nt == "ACH")).all()
    assert all(not match.unmatched for match in job.matches.values())


def test_own_stimulations_can_be_scored(own_data: Path) -> None:
    brain = connectome_from_config(configuration.read(own_data).data)
    for path in (own_data.parent / "data" / "stimulations.csv", ROOT / "examples" / "measured" / "responses.csv"):
        table = read_measured(path)
        found = table.response(ResponseRule())
        assert {0, 1} <= set(found[np.isfinite(found)]) and table.amplitude is not None and table.halves is not None
        if path.name == "stimulations.csv":
            placed = place(table, brain)
            assert not placed.unknown and placed.measured.rows == 25 * 79
    silenced = read_measured(own_data.parent / "data" / "silencings.csv")
    placed = place(silenced, brain)
    assert experiment_of(silenced) == SILENCING and not placed.unknown and placed.own_rows == 0
    driven = members(int(placed.stimulated[0]), brain.n, placed.sets)
    assert len(set(placed.silenced)) == 25 and placed.measured.rows == 25 * (79 - len(driven))  # type: ignore[arg-type]
    shown = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
    columns = (STIMULATED, SILENCED, RESPONDING, OBSERVATIONS, Q, RESPONDS, *AMPLITUDES, *HALVES)
    assert all(f"`{name}`" in shown for name in columns)


def test_the_table_of_the_fly_is_scored_where_its_names_are_in_a_column() -> None:
    table = read_measured(ROOT / "examples" / "measured" / "shiu2024_rostrum.csv")
    assert table.responds is not None and table.amplitude is not None
    assert (table.rows, len(set(table.stimulated)), set(table.responding)) == (106, 106, {"sez_type:MN9"})
    assert table.responds.sum() == 14 and ((table.amplitude > 0) == (table.responds > 0)).all()
    brain = random_connectome(np.random.default_rng(0), 240, 5)
    names = [one.partition(":")[2] for one in (*table.stimulated, *table.stimulated)]
    column = [*names, *["MN9"] * 2, *[""] * 26]
    placed = place(table, replace(brain, neurons=brain.neurons.assign(sez_type=column)))
    assert not placed.unknown and placed.measured.rows == 106 and len(placed.sets) == 107
    distance = distances(brain, placed.stimulated, placed.responding, placed.sets)
    truth = Truth.of(placed, ResponseRule(), distance)
    drawn = Resamples.draw(truth.groups, repeats=10)
    for each in wiring_predictors(brain, truth.stimulated, truth.responding, truth.sets):
        assert score_predictor(each, truth, drawn).auroc.value is not None


def test_the_table_of_silenced_types_of_the_fly_is_scored() -> None:
    table = read_measured(ROOT / "examples" / "measured" / "shiu2024_silencing.csv")
    assert table.responds is not None and table.silenced is not None and experiment_of(table) == SILENCING
    yes = table.responds == 1
    required = set(zip(table.stimulated[yes], table.silenced[yes], strict=True))
    assert (table.rows, len(required), int((table.responds == 0).sum())) == (20, 12, 7)
    # As docs/measured.md says of the two stimuli.
    assert ("sez_type:neu_water", "sez_type:bract") in required
    assert ("sez_type:neu_sugar", "sez_type:bract") not in required
    brain = random_connectome(np.random.default_rng(0), 60, 8)
    types = sorted({one.partition(":")[2] for one in (*table.stimulated, *table.silenced, "sez_type:MN9")})
    column = [types[k % len(types)] for k in range(60)]
    placed = place(table, replace(brain, neurons=brain.neurons.assign(sez_type=column)))
    assert not placed.unknown and placed.silenced is not None
    truth = Truth.of(placed, ResponseRule(), distances(brain, placed.silenced, placed.responding, placed.sets))
    drawn = Resamples.draw(truth.groups, repeats=10, over=truth.over)
    assert len(truth.rows) == 19 and truth.groups == 11
    for each in silencing_wiring(brain, truth, at_rest=False):
        assert score_predictor(each, truth, drawn).auroc.value is not None


def test_a_typo_in_a_column_is_named(own_data: Path, tmp_path: Path) -> None:
    typo = own_data.with_name("typo.toml")
    typo.write_text(own_data.read_text(encoding="utf-8").replace('"syn_count"', '"syncount"'))
    with pytest.raises(DataError, match=r"edges\.csv.*'syncount'.*Did you mean 'syn_count'"):
        runs.prepare(configuration.read(typo))


def test_documentation_shows_the_example_as_it_is() -> None:
    config = (EXAMPLE / "config.toml").read_text()
    shown = (ROOT / "docs" / "data.md").read_text().split("```toml\n")[1].split("```")[0]
    assert shown in config


def test_documentation_names_every_option_with_its_default() -> None:
    text = (ROOT / "docs" / "runs.md").read_text()
    for section in ("data", "model", "learner", "train", "evaluate"):
        start = text.index(f"### `{section}`")
        rows = text[start : text.find("\n#", start + 1)].splitlines()
        for option, default in configuration.to_dict(configuration.from_dict({"data": {}}))[section].items():
            if option not in ("connectome", "recording_files", "observation"):
                _assert_named(rows, f"{section}.{option}", default)
    rows = (ROOT / "docs" / "observation.md").read_text().splitlines()
    for option, default in msgspec.structs.asdict(configuration.ObservationConfig()).items():
        _assert_named(rows, f"model.observation.{option}", default)


def _assert_named(rows: list[str], option: str, default: Any) -> None:
    name = option.rpartition(".")[2]
    row = next((one for one in rows if f"`{name}`" in one.partition(" | ")[0]), None)
    assert row is not None, f"the documentation does not name {option}"
    if default is not None:
        assert _as_written(default) in row.split("|")[2], f"{option} = {default}, but: {row}"


def _as_written(value: Any) -> str:
    """A default as the tables write it: text bare, numbers short, lists as in JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_as_written(one) if isinstance(one, float) else json.dumps(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def test_documentation_names_every_step_and_dataset() -> None:
    from connfit.recordings.preprocess import STEPS

    text = (ROOT / "docs" / "data.md").read_text()
    assert [name for name in (*STEPS, *DATASETS) if f"`{name}`" not in text] == ["to_substeps"]
