"""What to record next: against Gaussian conditioning by the book, fits that differ in one place, and as a command."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from small import FRAMES, NEURONS, OPTIONS, UNITS, Plain, teacher
from typer.testing import CliRunner

from connfit import cli
from connfit import config as configuration
from connfit._io import read_json
from connfit.analysis.record_next import Ensemble, RecordNextOptions, record_next
from connfit.analysis.record_next.ensemble_activity import SETTLE_SHARE, ensemble_activity
from connfit.analysis.record_next.information import CRITERIA, INPUTS, Deviations, choose, gains
from connfit.analysis.record_next.record_next_results import RecordNext
from connfit.analysis.record_next.recorded_inputs import LEAST_OPEN, input_shares, known_inputs
from connfit.analysis.record_next.stimulation_information import responses_of_members, told
from connfit.errors import ConfigError, DataError
from connfit.models.pulse import Stimulations
from connfit.training.fit_brain import prepare_fit
from connfit.training.fitted import Fit

ASKED = RecordNextOptions(count=5, noise=0.3, criterion="variance")


@lru_cache(maxsize=1)
def job():
    """The small teacher's recordings, prepared as `connfit fit` does."""
    return prepare_fit(*teacher(), **OPTIONS)


def member(seed: int, **params: object) -> Fit:
    """A fit as training could have left it, with some parameters of its own."""
    one = job()
    one = replace(one, config=configuration.override(one.config, [f"seed={seed}"]))
    return Fit(one.model, {**one.params, **params}, one.params, one.cohort, (), job=one)


def different(neuron: int, factors: tuple[float, ...]) -> Ensemble:
    """Fits that differ in the weights that one neuron receives, which sends nothing on."""
    one = job()
    into = np.asarray(one.connectome.posts) == neuron
    assert into.sum() > 2
    weights = np.where(np.asarray(one.connectome.indices) == neuron, 0, np.asarray(one.params["weights"]))
    return Ensemble.of(
        [member(seed, weights=jnp.asarray(np.where(into, f * weights, weights))) for seed, f in enumerate(factors)]
    )


def spread(seeds: int) -> Ensemble:
    """Fits whose weights all differ."""
    weights = np.asarray(job().params["weights"])
    draws = [np.random.default_rng(seed).lognormal(0, 0.7, weights.shape) for seed in range(seeds)]
    return Ensemble.of([member(seed, weights=jnp.asarray(3 * weights * draw)) for seed, draw in enumerate(draws)])


def covariance(seed: int = 0, size: int = 7) -> np.ndarray:
    draws = np.random.default_rng(seed).normal(size=(size, size))
    return draws @ draws.T / size


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != INPUTS])
def test_what_a_set_of_records_leaves_is_that_of_conditioning_on_all_at_once(criterion: str) -> None:
    whole, noise = covariance(), 0.4
    chosen = choose(whole, noise, 4, criterion)
    assert len(set(chosen.order.tolist())) == 4
    for count in range(1, 5):
        at = chosen.order[:count]
        inner = whole[np.ix_(at, at)] + noise**2 * np.eye(count)
        after = whole - whole[:, at] @ np.linalg.solve(inner, whole[at])
        # Both in float64.
        assert chosen.left[count - 1] == pytest.approx(np.trace(after) / np.trace(whole), rel=1e-10)
        if criterion == "variance":
            assert chosen.gain[:count].sum() == pytest.approx(1 - chosen.left[count - 1], rel=1e-10)
        if criterion == "information":
            nats = 0.5 * np.linalg.slogdet(inner / noise**2)[1]
            assert chosen.gain[:count].sum() == pytest.approx(nats, rel=1e-10)


def test_each_criterion_takes_first_what_it_says() -> None:
    # Neuron 0 varies most, by itself; neurons 2 to 5 follow neuron 1.
    whole = np.zeros((6, 6))
    whole[0, 0] = 1.5
    whole[1:, 1:] = 0.9 + 0.1 * np.eye(5)
    first = {name: int(choose(whole, 0.5, 1, name).order[0]) for name in CRITERIA if name != INPUTS}
    assert first == {"variance": 1, "information": 0, "disagreement": 0}
    assert choose(whole, 0.5, 3, "disagreement").order.tolist() == [0, 1, 2]
    assert choose(whole, 0.5, 2, "variance").order.tolist() == [1, 0]
    assert gains(whole, 0.5, "information")[0] == pytest.approx(0.5 * np.log(1 + 1.5 / 0.25))


def test_known_inputs_are_those_of_uncertain_neurons_that_stay_hidden() -> None:
    # 0 is recorded and half of what drives 3; 1 drives 3 and 4, 2 drives 5 alone, of which fits disagree less.
    pre, post = np.array([0, 1, 1, 2]), np.array([3, 3, 4, 5])
    shares = np.array([0.5, 0.5, 1.0, 1.0])
    uncertainty = np.array([0.0, 0.1, 0.1, 0.8, 0.6, 0.4])
    recorded = np.arange(6) == 0
    chosen, alone = known_inputs(shares, pre, post, uncertainty, recorded, np.array([1, 2, 3]), 3)
    # Half of the input of 3 is open, and 1 is all of that.
    np.testing.assert_allclose(alone, [(0.8 + 0.6) / 2, 0.4 / 2, 0])
    assert chosen.order.tolist() == [0, 1, 2]
    np.testing.assert_allclose(chosen.left, [0.3, 0.1, 0.1])
    # A neuron that is recorded itself needs no known inputs.
    first, _ = known_inputs(np.array([1.0, 1.0]), np.array([1, 3]), np.array([3, 4]),
                            uncertainty, recorded, np.array([1, 3]), 2)  # fmt: skip
    assert first.order.tolist() == [0, 1] and first.gain[1] == pytest.approx(0.6 / 2)
    later, _ = known_inputs(np.array([0.5, 1.0]), np.array([1, 3]), np.array([3, 4]),
                            uncertainty, recorded, np.array([1, 3]), 2)  # fmt: skip
    assert later.order.tolist() == [1, 0] and later.gain[1] == 0
    nearly, _ = known_inputs(np.array([1.0, 1e-3]), np.array([0, 1]), np.array([3, 3]),
                             uncertainty, recorded, np.array([1]), 1)  # fmt: skip
    assert nearly.gain[0] == pytest.approx(0.8 * 1e-3 / LEAST_OPEN / 2)


def test_input_shares_are_of_weights_times_how_much_neurons_vary() -> None:
    ensemble = spread(2)
    vary = np.random.default_rng(0).random(NEURONS)
    shares = input_shares(ensemble, vary)
    pre, post = np.asarray(job().connectome.indices), np.asarray(job().connectome.posts)
    received = np.bincount(post, shares, NEURONS)
    np.testing.assert_allclose(received[np.unique(post)], 1, rtol=1e-6)
    drive = [np.asarray(fit.params["weights"], float) * vary[pre] for fit in ensemble.members]
    expected = np.mean([each[0] / each[post == post[0]].sum() for each in drive])
    assert shares[0] == pytest.approx(expected, rel=1e-6)
    found = record_next(ensemble, replace(ASKED, criterion=INPUTS))
    assert found.to_record[0].alone == max(each.alone for each in found.all_neurons) > 0


def test_disagreement_is_0_where_all_agree_and_1_where_they_have_nothing_in_common() -> None:
    rng = np.random.default_rng(0)
    activity = np.empty((5, 4000, 5))
    common = rng.normal(size=4000)
    activity[..., 0] = 3 * common + np.arange(5)[:, None]  # levels alone differ
    activity[..., 1] = rng.normal(size=(5, 4000))
    activity[..., 2] = common + rng.normal(size=(5, 4000))
    activity[..., 3] = 7.0
    activity[..., 4] = (1 + np.arange(5))[:, None] * common  # scales alone differ
    found = Deviations.of(activity)
    # 4,000 frames of 5 members: the standard error of a share is about 0.01.
    np.testing.assert_allclose(found.disagreement, [0, 1, 0.5, 0, 0], atol=0.04)
    assert found.spread[3] == 0 and found.spread[0] == pytest.approx(3 * common.std(), rel=1e-6)
    both = found.covariance(np.array([1, 2]))
    np.testing.assert_allclose(np.diag(both), found.disagreement[[1, 2]], rtol=1e-12)
    assert abs(both[0, 1]) < 0.04


def test_activity_of_hidden_neurons_is_that_of_the_equations() -> None:
    ensemble = spread(2)
    found = ensemble_activity(ensemble)
    assert found.shape == (2, 2 * (FRAMES - 1 - int(SETTLE_SHARE * (FRAMES - 1))), NEURONS)
    fit = ensemble.members[1]
    one = job()
    plain = Plain.of(one.connectome, one.readout, one.model, fit.params)
    limits = one.cohort.training_range(one.cohort.recordings[0])
    values = np.clip(one.cohort.recordings[0].values, limits.low, limits.high)
    rates = np.zeros(NEURONS)
    for _ in range(64):
        rates = plain.step(rates, values[0])
    run = []
    for shown in values[:-1]:
        rates = plain.step(rates, shown)
        run.append(rates)
    first = int(SETTLE_SHARE * (FRAMES - 1))
    # The model runs in float32.
    np.testing.assert_allclose(found[1, : FRAMES - 1 - first], run[first:], rtol=2e-4, atol=1e-5)


def test_large_brains_keep_fewer_frames_evenly_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = spread(2)
    whole = ensemble_activity(ensemble)
    monkeypatch.setattr("connfit.analysis.record_next.ensemble_activity.MOST_NUMBERS", 2 * NEURONS * 20)
    few = ensemble_activity(ensemble)
    assert few.shape == (2, 20, NEURONS)
    np.testing.assert_array_equal(few[:, [0, 9, 10, 19]], whole[:, [0, 179, 180, 359]])


def test_the_neuron_that_fits_disagree_about_comes_first() -> None:
    target = 25
    found = record_next(different(target, (0.2, 1.0, 3.0)), ASKED)
    assert found.recorded == UNITS and found.candidates == NEURONS - UNITS - found.flat
    first = found.to_record[0]
    assert (first.rank, first.id) == (1, f"n{target}")
    assert [each.rank for each in found.to_record[:5]] == [1, 2, 3, 4, 5]
    assert len(found.all_neurons) == found.candidates
    left = [each.left for each in found.to_record[:5]]
    assert all(a >= b for a, b in pairwise(left)) and left[0] < 1
    # The control: fits that differ elsewhere want another neuron.
    assert record_next(different(30, (0.2, 1.0, 3.0)), ASKED).to_record[0].id == "n30"
    assert not {f"n{k}" for k in range(UNITS)} & {each.id for each in found.all_neurons}


def test_responses_to_a_pulse_are_those_of_the_equations() -> None:
    ensemble, how = spread(2), Stimulations(pulse_s=2.0, window_s=5.0, strength=2.0)
    neurons = np.array([0, 11, 30])
    found = responses_of_members(ensemble, neurons, how)
    assert np.isnan(found[:, 0, 0]).all() and np.isfinite(found[:, 0, 1:]).all() and np.isfinite(found[:, 1:]).all()
    one, fit = job(), ensemble.members[1]
    plain = Plain.of(one.connectome, one.readout, one.model, fit.params)
    units = np.sqrt(np.mean([r.part("train")[0].astype(float).var(axis=0) for r in one.cohort.recordings], axis=0))
    rest = np.zeros(NEURONS)
    for _ in range(256):
        rest = plain.step(rest, one.cohort.mean_activity())

    def mean(current: np.ndarray) -> np.ndarray:
        rates, total = rest, np.zeros(UNITS)
        for step in range(10):
            pushed = replace(plain, bias=plain.bias + current * (step < 4))
            rates = pushed.step(rates, plain.c @ rates)
            total += plain.c @ rates
        return total / 10

    for place, neuron in enumerate(neurons):
        change = (mean(2 * np.median(units) * np.eye(NEURONS)[neuron]) - mean(np.zeros(NEURONS))) / units
        # Differences of float32 means.
        np.testing.assert_allclose(found[1, place, 1:], change[1:], rtol=1e-2, atol=1e-4)


def test_groups_of_stimulations_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble, neurons = spread(2), np.arange(5, 12)
    whole = responses_of_members(ensemble, neurons)
    monkeypatch.setattr("connfit.models.pulse.side_by_side", lambda *_: 3)
    np.testing.assert_allclose(responses_of_members(ensemble, neurons), whole, rtol=1e-4, atol=1e-5)


def test_stimulations_tell_fits_apart_where_these_predict_other_responses() -> None:
    responses = np.zeros((3, 3, 4))
    responses[:, 0] = 2.0  # large, but all agree
    responses[:, 1, 2] = [-1.0, 0.0, 1.0]
    found = told(responses, 0.5)
    assert found.information[0] == 0 and found.information[2] == 0
    assert found.information[1] == pytest.approx(0.5 * np.log(1 + 1 / 0.25))
    assert found.disagreement[0] == 0 and found.unit[1] == 2
    assert found.size.tolist() == [2.0, 0.0, 0.0]
    # By the covariance between units itself, where fits disagree about several.
    drawn = np.random.default_rng(0).normal(size=(4, 1, 6))
    determinant = np.linalg.slogdet(np.eye(6) + np.cov(drawn[:, 0].T) / 0.25)[1]
    assert told(drawn, 0.5).information[0] == pytest.approx(0.5 * determinant)


def test_the_stimulation_whose_outcome_fits_disagree_about_comes_first() -> None:
    """They differ in what one neuron sends: stimulating it, or what excites it, tells them apart."""
    one = job()
    sends = np.asarray(one.connectome.indices)
    sender = (
        int(np.bincount(sends[np.asarray(one.connectome.posts) < UNITS], minlength=NEURONS)[UNITS:].argmax()) + UNITS
    )
    weights = np.asarray(one.params["weights"])
    fits = [
        member(k, weights=jnp.asarray(np.where(sends == sender, f * weights, weights)))
        for k, f in enumerate((0.1, 8.0))
    ]
    found = record_next(fits, replace(ASKED, how=Stimulations(pulse_s=2.0, window_s=5.0, strength=3.0)))
    assert found.stimulated == NEURONS and found.to_stimulate[0].id == f"n{sender}"
    assert not found.to_stimulate[0].recorded
    none = record_next(fits, replace(ASKED, stimulations=0))
    assert none.stimulated == 0 and not none.to_stimulate
    few = record_next(fits, replace(ASKED, among=("id:n20,n21,n3",)))
    assert {each.id for each in few.all_neurons} <= {"n20", "n21"} and few.stimulated == 3


def test_a_short_list_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connfit.analysis.record_next.ranking.MOST_CANDIDATES", 6)
    found = record_next(spread(4), ASKED)
    assert found.shortlisted == 6 < found.candidates and len(found.all_neurons) == 6
    assert any("only the 6" in caution for caution in found.cautions)


def test_what_is_no_ensemble_is_an_error() -> None:
    with pytest.raises(ConfigError, match="one fit has nobody to disagree with"):
        Ensemble.of([member(0)])
    with pytest.raises(ConfigError, match="same parameters"):
        Ensemble.of([member(0), member(1)])
    weights = jnp.asarray(2 * np.asarray(job().params["weights"]))
    other = member(1, weights=weights)
    changed = configuration.override(other.require_job().config, ["train.epochs=9"])
    with pytest.raises(ConfigError, match=r"seed 1 was not made like seed 0: train\.epochs differ"):
        Ensemble.of([member(0), replace(other, job=replace(other.job, config=changed))])
    with pytest.raises(ConfigError, match="fitted to other data"):
        moved = replace(job().cohort, recordings=job().cohort.recordings[:1])
        Ensemble.of([member(0), replace(other, job=replace(other.job, cohort=moved))])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "varience"}, "did you mean 'variance'"),
        ({"count": 0}, "count = 0"),
        ({"noise": 0.0}, "no record is without"),
        ({"stimulations": -1}, "stimulations = -1"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RecordNextOptions(**options)


def test_the_command_writes_tables_and_results(tmp_path: Path) -> None:
    folders = []
    for seed, fit in enumerate(spread(2).members):
        start = member(seed)
        folders.append(replace(start, params=fit.params).save(tmp_path / f"run{seed}"))
    done = CliRunner().invoke(cli.app, ["record-next", *map(str, folders), "--count", "3", "--strength", "2"])
    assert done.exit_code == 0, done.output
    out = folders[0] / "record_next"
    found = read_json(out / "record_next.json", RecordNext)
    assert [each.seed for each in found.members] == [0, 1] and found.how.strength == 2
    assert found.to_record[0].id in done.output and "2 fits are few" in done.output
    with open(out / "neurons.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found.candidates
    assert [row["rank"] for row in rows[:4]] == ["1", "2", "3", ""]
    assert float(rows[0]["alone"]) == found.to_record[0].alone
    with open(out / "stimulations.csv", encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)][:50] == [each.id for each in found.to_stimulate]
    assert json.loads((out / "record_next.json").read_text())["criterion"] == "inputs"
    # In memory and from files it is the same.
    assert (
        record_next(folders, RecordNextOptions(count=3, how=Stimulations(2.0, 10.0, 2.0))).to_record == found.to_record
    )


def test_a_run_without_others_and_without_a_study_is_an_error(tmp_path: Path) -> None:
    folder = member(0).save(tmp_path / "run")
    done = CliRunner().invoke(cli.app, ["record-next", str(folder)])
    assert isinstance(done.exception, ConfigError) and "nobody to disagree with" in str(done.exception)
    with pytest.raises(ConfigError, match="given twice"):
        Ensemble.load([folder, folder])
    with pytest.raises(DataError, match="no run here"):
        Ensemble.load([folder, tmp_path / "none"])
