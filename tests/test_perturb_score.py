"""Models beside measured responses: pulses against linear algebra, tables, opponents, and the command."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import Problem, dense_matrices, random_connectome
from small import NEURONS, UNITS, search_little, teacher, write_files
from test_measured_responses import GOOD, written
from typer.testing import CliRunner
from valid import validator

import connfit as cf
from connfit import cli
from connfit import config as configuration
from connfit._io import plain, read_json
from connfit.analysis.measured.learned_combination import PENALTY, learned_combination, logistic_weights
from connfit.analysis.measured.measured_responses import (
    MeasuredResponses,
    ResponseRule,
    members,
    place,
    read_measured,
)
from connfit.analysis.measured.opponents import Opponents, other_fits
from connfit.analysis.measured.pair_scores import Truth
from connfit.analysis.measured.recording_predictors import recording_predictors
from connfit.analysis.measured.response_scores import Estimate, auroc
from connfit.analysis.measured.score_run import SUMS, perturb_score, score_responses
from connfit.analysis.measured.scored_responses import ScoredResponses
from connfit.analysis.measured.verdict_on_responses import answer, judge
from connfit.analysis.measured.wiring_predictors import (
    Predictor,
    distances,
    wiring_predictors,
)
from connfit.connectome.nulls import NULLS
from connfit.errors import ConfigError, DataError, DivergedError
from connfit.models import RateModel, Readout, init_params
from connfit.models.cells.rate import Rate
from connfit.models.cells.rate_calcium import RateCalcium
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.pulse import Stimulations, pulse_responses
from connfit.recordings.training_deviation import typical_deviation
from connfit.report.sections.measured_words import measured_words
from connfit.training import runs


def linear_model(drive: str = "dense", neurons: int = 12) -> tuple[Problem, dict[str, jnp.ndarray]]:
    """Neurons that are never silent here, so that a pulse is answered linearly."""
    rng = np.random.default_rng(4)
    brain = random_connectome(rng, neurons, 3, electrical=4)
    readout = Readout.by_name(brain, ("n0", "n3", "n5"))
    model = RateModel.from_connectome(brain, readout, step_s=0.5, drive=drive)
    params = {
        "weights": jnp.asarray(rng.random(brain.m) * 0.05),
        "log_time_constants": jnp.asarray(rng.normal(0, 0.3, neurons)),
        "bias": jnp.asarray(2 + rng.random(neurons)),
    }
    if drive == "dense":
        params["drive"] = jnp.asarray(rng.random((neurons, 3)) * 0.05)
    return Problem(brain, readout, model, params, None), params  # type: ignore[arg-type]  # no window is needed


@pytest.mark.parametrize("drive", ["own", "mean", pytest.param("none", marks=pytest.mark.slow)])
def test_a_pulse_is_answered_as_linear_algebra_says(drive: str, float64: None) -> None:
    problem, params = linear_model("dense" if drive != "none" else "none")
    w, e, c = (np.asarray(one, np.float64) for one in dense_matrices(problem, params))
    loop = w + (e @ c if drive == "own" else 0)
    keep = np.exp(-0.5 / np.exp(np.asarray(params["log_time_constants"])))
    # 1.0 s are two steps of pulse; 60 s are 120 steps, more than one call.
    how = Stimulations(pulse_s=1.0, window_s=60.0, strength=0.3, drive=drive)
    sources, watched = np.array([7, 2, 9]), np.array([0, 2, 11])
    got = pulse_responses(
        problem.model, params, sources, how, unit_of_strength=2.0, mean=np.array([1.0, 2.0, 0.5]), watched=watched
    )
    for row, source in zip(got, sources, strict=True):
        state, total = np.zeros(problem.model.neurons), np.zeros(problem.model.neurons)
        for step in range(120):
            given = np.zeros(len(state))
            given[source] = 0.6 if step < 2 else 0.0
            state = keep * state + (1 - keep) * (loop @ state + given)
            total += state
        # Double precision: what remains is rounding of sums of 120 steps.
        np.testing.assert_allclose(row, total[watched] / 120, rtol=1e-9, atol=1e-12)


def test_stimulations_in_batches_are_those_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, params = linear_model()
    sources, how, mean = np.arange(5), Stimulations(window_s=5), np.ones(3)
    whole = pulse_responses(problem.model, params, sources, how, unit_of_strength=1.0, mean=mean)
    monkeypatch.setattr("connfit.models.pulse.side_by_side", lambda *_: 2)
    parts = pulse_responses(problem.model, params, sources, how, unit_of_strength=1.0, mean=mean)
    # Single precision, and other shapes of the same products.
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)
    assert np.abs(whole).max() > 1e-3


def test_responses_are_those_of_calcium_where_the_cell_has_it(float64: None) -> None:
    """Calcium rises behind the rate: within a window as short as its decay, less of a pulse is seen."""
    rng = np.random.default_rng(0)
    brain = random_connectome(rng, 8, 2)
    readout = Readout.by_name(brain, ("n0", "n1"))
    found = {}
    given = ModelConditions(connectome=brain, readout=readout, step_s=0.5, drive="none")
    for name, cell in (("rate", Rate()), ("calcium", RateCalcium())):
        model = ConnectomeModel.wire(given, cell)
        params = {**init_params(model, brain, readout, spectral_radius=0.1), "bias": jnp.full(8, 1.0)}
        found[name] = pulse_responses(
            model, params, np.array([0]), Stimulations(window_s=1, drive="none"), unit_of_strength=1.0, mean=np.zeros(2)
        )[0, 0]
    assert 0 < found["calcium"] < 0.8 * found["rate"]


def test_growth_without_bound_is_an_error() -> None:
    problem, params = linear_model("none")
    wild = {**params, "weights": params["weights"] * 1e4}
    with pytest.raises(DivergedError, match="shorter window"):
        pulse_responses(
            problem.model, wild, np.array([0]), Stimulations(drive="none"), unit_of_strength=1.0, mean=np.zeros(3)
        )
    with pytest.raises(ConfigError, match=r"0\.\.11"):
        pulse_responses(problem.model, params, np.array([12]), Stimulations(), unit_of_strength=1.0, mean=np.zeros(3))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pulse_s": 0.0}, "pulse_s = 0 must"), ({"window_s": float("inf")}, "window_s"),
        ({"pulse_s": 3.0, "window_s": 2.0}, "shorter"), ({"strength": 0.0}, "strength"), ({"drive": "all"}, "drive"),
    ],
)  # fmt: skip
def test_impossible_stimulations_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Stimulations(**wrong)


def test_steps_are_the_nearest_and_one_at_least() -> None:
    assert Stimulations(pulse_s=0.1, window_s=30).steps(0.6) == (1, 50)
    assert Stimulations(pulse_s=1.3, window_s=1.3).steps(0.5) == (3, 3)


@pytest.mark.slow
def test_what_is_lost_with_unknown_neurons_is_counted_and_named_until_they_are_renamed() -> None:
    of, table = taught()
    assert table.q is not None
    responding = table.responding[table.q < 0.05]
    name, yes = max(Counter(responding.tolist()).items(), key=lambda one: one[1])
    rows = np.flatnonzero(table.responding == name)
    ids = np.where(table.responding == name, "AWCON", table.responding).astype(object)
    lost, how = replace(table, responding=ids), Stimulations(window_s=5)
    whole, found, mended = (
        perturb_score(of, each, how, resamples=20, rename=names)
        for each, names in ((table, None), (lost, None), (lost, {"AWCON": name}))
    )
    assert (found.table.unknown, found.table.unknown_rows) == (("AWCON",), len(rows))
    assert (found.table.unknown_pairs, found.table.unknown_responses) == (len(rows), yes)
    assert (found.table.pairs, found.table.responses) == (whole.table.pairs - len(rows), whole.table.responses - yes)
    words = " ".join(measured_words("measured/made/scores.json", found))
    assert f"{len(rows)} pairs that were tested are lost with them, {yes} of them responses" in words
    assert "AWCON" in words and "--rename OLD=NEW" in words
    assert replace(mended, rename={}) == whole and mended.rename == {"AWCON": name}
    with pytest.raises(ConfigError, match=r"no neuron 'AWCO'; did you mean 'AWCON'"):
        perturb_score(of, lost, how, rename={"AWCO": name})
    with pytest.raises(DataError, match=r"is there already"):
        perturb_score(of, lost, how, rename={"AWCON": next(one for one in table.responding if one != name)})


def test_sets_are_stimulated_and_read_together() -> None:
    of, _ = taught()
    brain = of.connectome
    frame = pd.DataFrame(
        [("id:n3,n5", "n1", 0.01), ("n3", "region:B", 0.6), ("region:A", "id:n1", 0.6), ("id:n3,n5", "region:B", 0.01),
         ("id:n1,n2", "n2", 0.01), ("region:ZZ", "n2", 0.01), ("n3", "none:x", 0.6), ("n12", "n3", 0.6)],
        columns=["stimulated", "responding", "q"],
    )  # fmt: skip
    measured = read_measured(frame)
    placed = place(measured, brain)
    assert placed.unknown == ("region:ZZ", "none:x") and (placed.lost.rows, placed.own_rows) == (2, 1)
    region = {name: np.flatnonzero(brain.neurons["region"] == name) for name in "AB"}
    pairs = [([3, 5], [1]), ([3], region["B"]), (region["A"], [1]), ([3, 5], region["B"]), ([12], [3])]
    assert [
        [members(one, brain.n, placed.sets).tolist() for one in both]
        for both in zip(placed.stimulated, placed.responding, strict=True)
    ] == [[list(one), list(other)] for one, other in pairs]

    def single(each: Iterator[Predictor]) -> dict[str, np.ndarray]:
        return {one.name: one.values for one in each}

    # Each pair of neurons by itself, then summed over those that are stimulated, and averaged over those that respond.
    flat = [(a, b) for one, other in pairs for a in one for b in other]
    one, other = np.array(flat).T
    owner = np.repeat(np.arange(len(pairs)), [len(a) * len(b) for a, b in pairs])
    readers = np.array([len(b) for _, b in pairs])
    alone = single(wiring_predictors(brain, one, other))
    together = single(wiring_predictors(brain, placed.stimulated, placed.responding, placed.sets))
    assert set(together) == set(alone)
    for name, values in together.items():
        np.testing.assert_allclose(values, np.bincount(owner, alone[name]) / readers, rtol=1e-6, atol=1e-12)
    lengths = distances(brain, one, other)
    nearest = [lengths[owner == k].min() for k in range(len(pairs))]
    np.testing.assert_array_equal(distances(brain, placed.stimulated, placed.responding, placed.sets), nearest)
    readout = of.require_job().readout
    alone = single(recording_predictors(of.cohort, readout, brain, one, other, window_s=5.0))
    together = single(
        recording_predictors(of.cohort, readout, brain, placed.stimulated, placed.responding, window_s=5.0,
                             sets=placed.sets)
    )  # fmt: skip
    for name, values in together.items():
        known = [alone[name][owner == k] for k in range(len(pairs))]
        wanted = [np.mean(each[np.isfinite(each)]) if np.isfinite(each).any() else np.nan for each in known]
        np.testing.assert_allclose(values, wanted, rtol=1e-10)
    how = Stimulations(window_s=5)
    _, scored = score_responses(of, measured, how, opponents=Opponents(other_fits([of])), resamples=5)
    found = {each.name: each.values for each in scored.predictors}
    np.testing.assert_array_equal(found["run_1"], found["model"])
    scale = typical_deviation(of.cohort)
    for values, (stimulated, responding) in zip(found["model"], pairs, strict=True):
        changes = pulse_responses(
            of.model, of.params, [np.array(stimulated)], how, unit_of_strength=scale, mean=of.cohort.mean_activity()
        )
        assert values == pytest.approx(changes[0, responding].mean(), rel=1e-4, abs=1e-9)
    single_change, both = (
        pulse_responses(of.model, of.params, sites, how, unit_of_strength=scale, mean=of.cohort.mean_activity())
        for sites in (np.array([3, 5]), [np.array([3, 5])])
    )
    # This teacher answers linearly in part only: what is silent stays silent.
    assert both.shape == (1, brain.n) and np.abs(both[0] - single_change[0]).max() > 0


def test_a_table_in_which_nobody_responds_is_refused() -> None:
    brain, _ = teacher()
    frame = pd.DataFrame({"stimulated": ["n0", "n1"], "responding": ["n1", "n2"], "q": [0.5, 0.6]})
    placed = place(read_measured(frame), brain)
    with pytest.raises(DataError, match="none responds"):
        Truth.of(placed, ResponseRule(), np.ones(2))


CHOSEN = {
    "drive_start": "persistence", "time_constant_frames": 0.5, "weights": "counts", "own_shrinkage": 0,
    "drive_ridge": 0, "state_forcing": 0, "learning_rate": 0.01,
}  # fmt: skip
"""What the recipe would have to find."""


@lru_cache(maxsize=1)
def fitted() -> cf.Fit:
    """The teacher's recordings fitted, then given other parameters as a test needs them."""
    brain, movies = teacher()
    return cf.fit(brain, movies, epochs=1, progress=False, **CHOSEN)


def taught(noise: float = 0.0) -> tuple[cf.Fit, MeasuredResponses]:
    """A fit with the parameters of a teacher, and a table of the teacher's responses."""
    fit, rng = fitted(), np.random.default_rng(8)
    brain = fit.connectome
    own = {**fit.params, "bias": jnp.full(NEURONS, 0.5), "weights": jnp.asarray(0.03 * brain.counts, jnp.float32)}
    of = replace(fit, params=own)
    everyone, how = np.arange(NEURONS), Stimulations(window_s=5)
    responses = pulse_responses(
        of.model, own, everyone, how, unit_of_strength=typical_deviation(of.cohort), mean=of.cohort.mean_activity()
    )
    a, b = (one.ravel() for one in np.meshgrid(everyone, everyone, indexing="ij"))
    a, b = a[a != b], b[a != b]
    size = np.log(np.abs(responses[a, b]) + 1e-9) + noise * rng.normal(size=len(a))
    ids = brain.ids.astype(str)
    table = MeasuredResponses(
        "taught", ids[a].astype(object), ids[b].astype(object), np.full(len(a), 5),
        np.where(size > np.quantile(size, 0.85), 0.01, 0.6), None, responses[a, b],
        np.stack([responses[a, b], responses[a, b]], axis=1) + 0.01 * rng.normal(size=(len(a), 2)),
    )  # fmt: skip
    return of, table


def test_a_teachers_own_parameters_rank_its_responses_and_others_do_not() -> None:
    of, table = taught()
    scores = perturb_score(of, table, Stimulations(window_s=5), resamples=200)
    own = scores.predictors["model"]
    assert own.auroc.value == pytest.approx(1.0, abs=1e-3) and own.sign_agreement.value == pytest.approx(1.0, abs=0.01)
    assert own.average_precision.value == pytest.approx(1.0, abs=0.01)
    assert own.amplitude_correlation.value == pytest.approx(1.0, abs=1e-3)
    assert scores.table.amplitude_ceiling.value is not None
    shuffled = np.random.default_rng(0).permutation(NEURONS)
    names = dict(zip(of.connectome.ids.astype(str), of.connectome.ids[shuffled].astype(str), strict=True))
    other = replace(
        table, stimulated=np.array([names[one] for one in table.stimulated], object),
        responding=np.array([names[one] for one in table.responding], object),
    )  # fmt: skip
    chance = perturb_score(of, other, Stimulations(window_s=5), resamples=200).predictors["model"].auroc
    assert chance.low is not None and chance.high is not None and chance.low < 0.5 < chance.high


def test_opponents_are_scored_on_their_pairs_and_differences_are_paired() -> None:
    of, table = taught(noise=1.0)
    scores, pairs = score_responses(of, table, Stimulations(window_s=5), resamples=300)
    names = list(scores.predictors)
    assert names[:2] == ["model", "untrained"] and "+".join(SUMS[-1]) in names and "impulse_response" in names
    fc = scores.predictors["functional_connectivity"]
    assert fc.pairs == UNITS * (UNITS - 1) < scores.predictors["model"].pairs == NEURONS * (NEURONS - 1)
    by = {each.name: each.values for each in pairs.predictors}
    known, yes = np.isfinite(by["functional_connectivity"]), pairs.truth.responds

    def area(values: np.ndarray) -> float:
        size = np.abs(values[known])
        above = size[yes[known]][:, None] - size[~yes[known]][None]
        return float(((above > 0) + 0.5 * (above == 0)).mean())

    lead = fc.model_minus_this
    assert lead is not None and lead.value is not None
    assert lead.value == pytest.approx(area(by["model"]) - area(by["functional_connectivity"]), abs=1e-12)
    assert sum(of.pairs for of in scores.predictors["model"].by_distance.values()) == scores.table.pairs
    assert {each.question for each in scores.differences} == {
        "fitting", "model_over_wiring", "wiring_over_recording", "model_over_both"
    }  # fmt: skip
    again = score_responses(of, table, Stimulations(window_s=5), resamples=300)[0]
    assert again == scores
    rows = list(csv.DictReader(pairs.csv().splitlines()))
    assert len(rows) == scores.table.pairs and float(rows[3]["model"]) == pytest.approx(by["model"][3], rel=1e-4)


def test_a_learned_combination_knows_nothing_of_the_stimulations_that_it_ranks() -> None:
    """Labels of one stimulated neuron do not change its own predictions, and those of the others do."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 20)
    values = rng.normal(size=len(group))
    parts = [
        Predictor("a", "a", "wiring", values),
        Predictor("b", "b", "wiring", np.where(group > 3, values**3, np.nan)),
    ]
    yes = rng.random(len(group)) < 1 / (1 + np.exp(4 - 2 * np.abs(values)))
    before = learned_combination(parts, yes, group).values
    other = yes.copy()
    other[group == 7] = ~other[group == 7]
    after = learned_combination(parts, other, group).values
    np.testing.assert_array_equal(after[group == 7], before[group == 7])
    assert (after != before).any() and np.isfinite(before).all()
    ones = np.ones((1, 30))
    # It is a monotone function of the first part, up to small differences between folds.
    assert auroc(before, yes, group, ones)[0][0] == pytest.approx(
        auroc(np.abs(values), yes, group, ones)[0][0], abs=0.02
    )


def test_logistic_weights_are_where_the_penalised_likelihood_is_largest() -> None:
    rng = np.random.default_rng(1)
    features = np.column_stack([np.ones(300), rng.normal(size=(300, 2))])
    yes = rng.random(300) < 1 / (1 + np.exp(-(features @ [-1.0, 1.5, 0.0])))
    weights = logistic_weights(features, yes)
    score = features.T @ (yes - 1 / (1 + np.exp(-(features @ weights))))
    np.testing.assert_allclose(score, PENALTY * weights * [0, 1, 1], atol=1e-6)


def test_nulls_and_other_fits_are_opponents(monkeypatch: pytest.MonkeyPatch) -> None:
    search_little(monkeypatch)
    of, table = taught()
    other = replace(of, params=of.initial_params)
    scores = perturb_score(
        of, table, Stimulations(window_s=5), against=[other], nulls=["no_recurrence", "rewire_degrees"], resamples=50
    )
    assert scores.predictors["run_1"].auroc.value == scores.predictors["untrained"].auroc.value
    none, rewired = (scores.predictors[f"untrained_{name}"] for name in ("no_recurrence", "rewire_degrees"))
    assert none.kind == "null" and none.auroc.value is not None
    assert rewired.auroc.value not in (None, none.auroc.value, scores.predictors["untrained"].auroc.value)
    assert {"untrained_no_recurrence", "untrained_rewire_degrees"} <= {
        *scores.verdict.beaten, *scores.verdict.better, *scores.verdict.undecided
    }  # fmt: skip
    assert scores.not_scored == {}
    with pytest.raises(ConfigError, match="rewire_degrees"):
        perturb_score(of, table, nulls=["rewire_degree"])
    assert "rewire_degrees" in NULLS


def test_nulls_that_cannot_be_drawn_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher has no regions, and one sign for all of its neurons cannot be shuffled."""
    search_little(monkeypatch)
    _, table = taught()
    brain, movies = teacher()
    alike = replace(brain, signs=np.ones_like(brain.signs), neurons=brain.neurons.assign(region=""))
    fit = cf.fit(alike, movies, epochs=0, progress=False, **CHOSEN)
    scores = perturb_score(fit, table, Stimulations(window_s=5), nulls=["all"], resamples=20)
    assert set(scores.not_scored) == {"untrained_rewire_within_regions", "untrained_shuffle_signs"}
    assert "no regions" in scores.not_scored["untrained_rewire_within_regions"]
    rows = {name for name in scores.predictors if name.startswith("untrained_")}
    assert rows == {f"untrained_{name}" for name, null in NULLS.items() if null.in_studies} - set(scores.not_scored)
    words = " ".join(measured_words("measured/made/scores.json", scores))
    assert "Not scored: untrained_rewire_within_regions" in words
    with pytest.raises(DataError, match="no regions"):
        perturb_score(fit, table, nulls=["rewire_within_regions"])


def test_a_verdict_follows_intervals() -> None:
    leads = {
        "a": Estimate(0.1, 0.05, 0.15), "b": Estimate(-0.1, -0.2, -0.01), "c": Estimate(0.1, -0.01, 0.2),
        "d": Estimate(reason="nothing"),
    }  # fmt: skip
    found = judge(Estimate(0.6, 0.55, 0.65), leads, {"model": 0.6, "a": 0.5, "b": 0.7, "d": None})
    assert (found.beaten, found.better, found.undecided, found.first) == (("a",), ("b",), ("c", "d"), "b")
    assert found.model_is_above_chance and not found.beats_all
    assert [answer(leads[name]) for name in "abcd"] == ["more", "less", "undecided", "unknown"]
    assert judge(Estimate(0.6, 0.55, 0.65), {"a": leads["a"]}, {}).beats_all


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    config = configuration.override(
        configuration.read(write_files(folder)), ["train.epochs=1", "train.free_run_epochs=0"]
    )
    runs.start(config, folder / "run")
    _, table = taught(noise=0.5)
    pd.DataFrame(
        {"stimulated": table.stimulated, "responding": table.responding, "observations": 5, "q": table.q,
         "amplitude": table.amplitude}
    ).to_csv(folder / "who <responds>.csv", index=False)  # fmt: skip
    return folder / "run"


def test_the_command_writes_scores_and_pairs(run: Path) -> None:
    done = CliRunner().invoke(
        cli.app, ["perturb-score", str(run), "--measured", str(run.parent / "who <responds>.csv"), "--window", "5",
                  "--resamples", "50"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    out = run / "measured" / "who-responds"
    scores = read_json(out / "scores.json", ScoredResponses)
    validator("scores.json").validate(json.loads((out / "scores.json").read_text()))
    assert plain(scores) == json.loads((out / "scores.json").read_text())
    assert scores.stimulations == Stimulations(window_s=5.0) and scores.resamples == 50
    assert "at most two" in done.output and "AUROC is the probability" in " ".join(done.output.split())
    with (out / "responses.csv").open() as file:
        assert len(list(csv.DictReader(file))) == scores.table.pairs


def test_a_mistake_is_one_line(run: Path, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "n0,n1,4,0.1,7\n")
    for given, message in (
        (["n0"], "must be OLD=NEW"),
        (["a=b", "a=c"], "gives 'a' twice"),
        (["a=b"], "no neuron 'a'"),
    ):
        names = [word for one in given for word in ("--rename", one)]
        measured = run.parent / "who <responds>.csv"
        done = CliRunner().invoke(cli.app, ["perturb-score", str(run), "--measured", str(measured), *names])
        assert done.exit_code != 0 and isinstance(done.exception, ConfigError) and message in str(done.exception)
    done = CliRunner().invoke(cli.app, ["perturb-score", str(run), "--measured", str(path)])
    assert done.exit_code != 0 and isinstance(done.exception, DataError) and "row 1: q" in str(done.exception)
    with pytest.raises(DataError, match=r"fit has not finished|no run here"):
        perturb_score(tmp_path, written(tmp_path, GOOD + "n0,n1,4,0.1,0.7\n"))
    with pytest.raises(ConfigError, match="name is"):
        perturb_score(run, run.parent / "who <responds>.csv", name="../up")
