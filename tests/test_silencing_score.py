"""Models beside measured changes when neurons are silenced: against linear algebra, tables, opponents, the command."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import dense_matrices, random_connectome
from overlaps import overlapping
from small import NEURONS, teacher
from test_measured_responses import written
from test_perturb_score import fitted, linear_model
from typer.testing import CliRunner
from valid import validator

import connfit as cf
from connfit import cli
from connfit._io import read_json
from connfit.analysis.measured import score_run
from connfit.analysis.measured.experiments import REST, SILENCING, STIMULATION, experiment_of, of_experiment
from connfit.analysis.measured.measured_responses import (
    MeasuredResponses,
    ResponseRule,
    members,
    place,
    read_measured,
)
from connfit.analysis.measured.opponents import Opponent, Opponents, other_fits
from connfit.analysis.measured.pair_scores import Truth
from connfit.analysis.measured.recording_predictors import recording_predictors
from connfit.analysis.measured.score_run import perturb_score, score_responses
from connfit.analysis.measured.scored_responses import ScoredResponses
from connfit.analysis.measured.silencing_predictors import silencing_recordings, silencing_wiring
from connfit.analysis.measured.wiring_predictors import distances
from connfit.errors import ConfigError, DataError
from connfit.models.held_rates import TrainingRange
from connfit.models.pulse import Stimulations, pulse_responses
from connfit.models.silencing import silencing_changes
from connfit.recordings.training_deviation import typical_deviation
from connfit.report.figures.measured_figures import measured_figure
from connfit.report.prose import write_prose
from connfit.report.sections.measured_section import measured_blocks, measured_drawings, title
from connfit.report.sections.measured_words import measured_words

HEAD = "stimulated,silenced,responding,responds,amplitude\n"


def unseen(neurons: int) -> TrainingRange:
    """What is known where no unit reads any neuron: silence is 0."""
    return TrainingRange(*np.full((4, neurons), np.nan))


@pytest.mark.parametrize("drive", ["own", "none", pytest.param("mean", marks=pytest.mark.slow)])
def test_a_change_when_silenced_is_that_of_linear_algebra(drive: str, float64: None) -> None:
    problem, params = linear_model("dense" if drive != "none" else "none")
    w, e, c = (np.asarray(one, np.float64) for one in dense_matrices(problem, params))
    neurons, keep = 12, np.exp(-0.5 / np.exp(np.asarray(params["log_time_constants"])))
    mean = np.array([1.0, 2.0, 0.5])
    loop = w + (e @ c if drive == "own" else 0)
    # Units show their mean for 256 steps before the onset, with drive "mean" after it, too.
    shown = e @ mean if drive != "none" else np.zeros(neurons)
    bias = np.asarray(params["bias"])
    rest = np.zeros(neurons)
    for _ in range(256):
        rest = keep * rest + (1 - keep) * (w @ rest + bias + shown)
    how = Stimulations(pulse_s=1.0, window_s=60.0, strength=0.3, drive=drive)
    stimulated = [np.array([7]), np.array([2, 7]), np.zeros(0, int), np.array([7])]
    silenced = [np.array([4]), np.array([1, 9]), np.array([3]), np.array([7])]
    got = silencing_changes(
        problem.model, params, stimulated, silenced, how, unit_of_strength=2.0, mean=mean, seen=unseen(neurons)
    )

    def run(pulsed: np.ndarray, silent: np.ndarray) -> np.ndarray:
        state, total = rest.copy(), np.zeros(neurons)
        state[silent] = 0
        for step in range(120):
            given = np.zeros(neurons)
            given[pulsed] = 0.6 if step < 2 else 0.0
            outside = bias + (shown if drive == "mean" else 0)
            state = keep * state + (1 - keep) * (loop @ state + outside + given)
            state[silent] = 0
            total += state
        return total / 120

    nobody = np.zeros(0, int)
    for change, pulsed, silent in zip(got, stimulated, silenced, strict=True):
        # Double precision: what remains is rounding of sums of 120 steps.
        np.testing.assert_allclose(change, run(pulsed, silent) - run(pulsed, nobody), rtol=1e-9, atol=1e-11)
    assert not np.allclose(got[0], got[3])


def test_silencing_in_batches_is_that_one_by_one(monkeypatch: pytest.MonkeyPatch, float64: None) -> None:
    problem, params = linear_model()
    pairs = [(one, other) for one in (7, 2, 9) for other in (0, 4, 5)]
    stimulated, silenced = ([np.array([each[side]]) for each in pairs] for side in (0, 1))
    given = {"unit_of_strength": 1.0, "mean": np.ones(3), "seen": unseen(12), "watched": np.array([1, 3])}
    how = Stimulations(window_s=5)
    whole = silencing_changes(problem.model, params, stimulated, silenced, how, **given)  # type: ignore[arg-type]
    assert whole.shape == (9, 2)
    for width in (1, 2, 3):
        monkeypatch.setattr("connfit.models.silencing.side_by_side", lambda *_, width=width: width)
        parts = silencing_changes(problem.model, params, stimulated, silenced, how, **given)  # type: ignore[arg-type]
        np.testing.assert_allclose(parts, whole, rtol=1e-12)
    with pytest.raises(ConfigError, match=r"silenced neurons must lie in 0\.\.11"):
        silencing_changes(problem.model, params, stimulated, [np.array([12])] * 9, how, **given)  # type: ignore[arg-type]


def test_silence_is_at_the_floor_of_what_units_showed(float64: None) -> None:
    problem, params = linear_model("none")
    floor = np.full(12, np.nan)
    floor[3] = 1.5
    seen = replace(unseen(12), floor=floor)
    how = Stimulations(window_s=5, drive="none")

    def at(silence_at: str) -> np.ndarray:
        return silencing_changes(
            problem.model, params, [np.zeros(0, int)], [np.array([3])], how, unit_of_strength=1.0, mean=np.ones(3),
            seen=seen, silence_at=silence_at,
        )[0]  # fmt: skip

    assert at("floor")[3] - at("zero")[3] == pytest.approx(1.5, rel=1e-9)


@pytest.mark.slow
def test_a_mixed_table_is_scored_one_experiment_at_a_time(tmp_path: Path) -> None:
    text = HEAD + "n1,n2,n3,1,-0.4\nn1,,n3,1,0.5\n,n2,n3,0,0\nn1,,n4,0,0\nn1,n5,n3,0,0\n"
    table = read_measured(written(tmp_path, text, "mixed.csv"))
    counted = (
        r"stimulation: 2 rows, the first is row 2; silencing: 2 rows, the first is row 1; "
        r"silencing_at_rest: 1 rows, the first is row 3"
    )
    with pytest.raises(DataError, match=counted) as caught:
        of_experiment(table)
    assert "Choose the experiment" in str(caught.value)
    parts = {name: of_experiment(table, name) for name in (STIMULATION, SILENCING, REST)}
    assert {name: (part.name, part.rows) for name, part in parts.items()} == {
        STIMULATION: ("mixed-stimulation", 2), SILENCING: ("mixed-silencing", 2), REST: ("mixed-silencing_at_rest", 1)
    }  # fmt: skip
    assert parts[STIMULATION].silenced is None and all(experiment_of(part) == name for name, part in parts.items())
    assert of_experiment(parts[SILENCING], SILENCING).name == "mixed-silencing"
    with pytest.raises(ConfigError, match="no such row; its rows are of silencing"):
        of_experiment(parts[SILENCING], REST)
    with pytest.raises(ConfigError, match="silencing_at_rest"):
        of_experiment(table, "silencing at rest")
    of, own = silenced_table()
    with pytest.raises(DataError, match="not scored together"):
        perturb_score(of, _joined(own, of_experiment(table, STIMULATION)))


def test_pairs_of_silenced_or_stimulated_neurons_with_themselves_are_left_out() -> None:
    brain, _ = teacher()
    rows = [
        ("n0", "n1", "n2"), ("n0", "n2", "n2"), ("n2", "n1", "n2"), ("n0", "ZZ", "n3"), ("n0", "region:A", "n5"),
        ("n0", "id:n3,n4", "id:n7,n8"), ("n0", "id:n3,n4", "n6"),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["stimulated", "silenced", "responding"]).assign(q=0.01)
    placed = place(read_measured(frame), brain)
    assert placed.unknown == ("ZZ",) and (placed.lost.rows, placed.own_rows) == (1, 3)  # n5 is of region A
    assert placed.silenced is not None
    assert [members(int(one), brain.n, placed.sets).tolist() for one in placed.silenced] == [[1], [3, 4], [3, 4]]
    rest = place(of_experiment(read_measured(frame.assign(stimulated="").drop_duplicates())), brain)
    assert {len(members(int(one), brain.n, rest.sets)) for one in rest.stimulated} == {0}


def truth_of(placed_frame: pd.DataFrame, brain: cf.Connectome) -> Truth:
    """The pairs of a table with nothing measured that matters here."""
    placed = place(read_measured(placed_frame), brain)
    return Truth.of(placed, ResponseRule(), np.ones(placed.measured.rows))


def test_paths_that_are_lost_are_those_of_dense_matrices() -> None:
    brain = random_connectome(np.random.default_rng(3), 15, 3, electrical=5)
    ids = brain.ids.astype(str)
    rows = [(ids[a], ids[s], ids[r]) for a in (2, 7) for s in (1, 4, 11) for r in range(15)]
    rows += [(f"id:{ids[2]},{ids[7]}", f"id:{ids[1]},{ids[4]}", f"id:{ids[9]},{ids[12]}"), (ids[2], ids[2], ids[9])]
    frame = pd.DataFrame(rows, columns=["stimulated", "silenced", "responding"]).assign(responds=0)
    frame.loc[0, "responds"] = 1
    truth = truth_of(frame, brain)
    assert truth.silenced is not None
    found = {each.name: each for each in silencing_wiring(brain, truth, at_rest=False)}
    signed, counts = np.zeros((2, 15, 15))
    np.add.at(signed, (brain.posts, brain.indices), brain.counts * brain.connection_signs)
    np.add.at(counts, (brain.posts, brain.indices), brain.counts)
    radius = np.abs(np.linalg.eigvals(counts)).max()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def resolvent(matrix: np.ndarray, weight: float) -> np.ndarray:
        return np.linalg.inv(np.eye(15) - weight * matrix) - np.eye(15)

    def of(name: str, silent: np.ndarray) -> np.ndarray:
        c, s, p = (matrix * (~np.isin(np.arange(15), silent)) for matrix in (counts, signed, shares))
        return {
            "two_steps": c / radius + c @ c / radius**2, "paths_0.5": resolvent(p, 0.5) / 0.5,
            "resolvent_0.6": resolvent(c, 0.6 / radius), "signed_resolvent_0.9": resolvent(s, 0.9 / radius),
        }[name]  # fmt: skip

    nobody = np.zeros(0, int)
    sites = [[members(int(one), 15, truth.sets) for one in each] for each in (
        truth.stimulated, truth.silenced, truth.responding
    )]  # fmt: skip
    for name in ("two_steps", "paths_0.5", "resolvent_0.6", "signed_resolvent_0.9"):
        wanted = []
        for driven, silent, read in zip(*sites, strict=True):
            whole, left = (of(name, each)[np.ix_(read, driven)].sum(axis=1).mean() for each in (nobody, silent))
            wanted.append(left - whole if name.startswith("signed") else whole - left)
        # The spectral radius is found by 60 steps of power iteration, good to about 1e-3 in so small a graph.
        np.testing.assert_allclose(
            found[name].values, wanted, rtol=2e-2, atol=1e-2 * np.abs(of(name, nobody)).max(), err_msg=name
        )
        assert found[name].signed == name.startswith("signed")
    direct = [-signed[np.ix_(read, silent)].sum(axis=1).mean() for silent, read in zip(*sites[1:], strict=True)]
    np.testing.assert_array_equal(found["synapses"].values, direct)
    on = of("two_steps", nobody)
    wanted = [on[np.ix_(read, silent)].sum(axis=1).mean() for silent, read in zip(*sites[1:], strict=True)]
    np.testing.assert_allclose(found["from_silenced_two_steps"].values, wanted, rtol=2e-2, atol=1e-2 * on.max())
    assert {name for name in found if name.startswith("from_silenced_")} == {
        f"from_silenced_{name}" for name in found if not name.startswith("from_silenced_") and name != "synapses"
    }
    # Neuron 2 stimulated and silent: all that it sends is lost.
    assert found["resolvent_0.6"].values[-1] == pytest.approx(of("resolvent_0.6", nobody)[9, 2], rel=1e-2)


def test_what_no_path_carries_is_zero_exactly() -> None:
    """a -> b -> c, and d -> c: d is on no path from a."""
    table = pd.DataFrame({"id": list("abcd")}).assign(type="", region="", transmitter="", side="")
    line = cf.connectome.from_pairs(
        "line", np.array([0, 1, 3]), np.array([1, 2, 2]), np.array([9, 7, 5]), np.ones(4, int), table
    )
    frame = pd.DataFrame({"stimulated": "a", "silenced": ["b", "d"], "responding": "c", "responds": [1, 0]})
    truth = truth_of(frame, line)
    found = {each.name: each.values.tolist() for each in silencing_wiring(line, truth, at_rest=False)}
    assert found["synapses"] == [-7, -5] and found["two_steps"] == [63, 0] and found["paths_0.5"][1] == 0
    at_rest = truth_of(frame.assign(stimulated=""), line)
    found = {each.name: each.values.tolist() for each in silencing_wiring(line, at_rest, at_rest=True)}
    assert not [name for name in found if name.startswith("from_silenced_")]
    assert found["synapses"] == [-7, -5] and found["two_steps"] == [7, 5]
    np.testing.assert_array_equal(distances(line, np.array([1, 3, 0]), np.array([2, 2, 2])), [1, 1, 2])


def silenced_table(noise: float = 0.0, *, rest: bool = False) -> tuple[cf.Fit, MeasuredResponses]:
    """A fit with the parameters of a teacher, and a table of what silencing changes in the teacher."""
    fit, rng = fitted(), np.random.default_rng(8)
    brain = fit.connectome
    own = {**fit.params, "bias": jnp.full(NEURONS, 0.5), "weights": jnp.asarray(0.03 * brain.counts, jnp.float32)}
    of = replace(fit, params=own)
    driven = [np.zeros(0, int)] if rest else [np.array([30]), np.array([35])]
    pairs = [(a, s) for a in range(len(driven)) for s in range(NEURONS) if s not in driven[a]]
    changes = silencing_changes(
        of.model, own, [driven[a] for a, _ in pairs], [np.array([s]) for _, s in pairs], Stimulations(window_s=5),
        unit_of_strength=typical_deviation(of.cohort), mean=of.cohort.mean_activity(),
        seen=TrainingRange.of(of.model, own, of.cohort),
    )  # fmt: skip
    ids = brain.ids.astype(str)
    rows = [
        ("" if rest else ids[driven[a][0]], ids[s], ids[r], changes[k, r])
        for k, (a, s) in enumerate(pairs)
        for r in range(NEURONS)
        if r != s and r not in driven[a]
    ]
    stimulated, silenced, responding, amplitude = (np.array(each, object) for each in zip(*rows, strict=True))
    amplitude = amplitude.astype(float)
    size = np.log(np.abs(amplitude) + 1e-9) + noise * rng.normal(size=len(rows))
    table = MeasuredResponses(
        "silenced", stimulated, responding, None, np.where(size > np.quantile(size, 0.85), 0.01, 0.6), None, amplitude,
        None, silenced,
    )  # fmt: skip
    return of, table


def _joined(one: MeasuredResponses, other: MeasuredResponses) -> MeasuredResponses:
    """Rows of two tables, of which the second has nobody silenced."""
    assert one.silenced is not None
    count = one.rows + other.rows
    silenced = np.append(one.silenced, np.full(other.rows, "", object))
    return replace(
        one, stimulated=np.append(one.stimulated, other.stimulated), q=np.full(count, 0.5), amplitude=None,
        responding=np.append(one.responding, other.responding), silenced=silenced,
    )  # fmt: skip


@pytest.mark.parametrize("rest", [False, True])
def test_a_teachers_own_parameters_rank_its_changes_and_others_do_not(rest: bool) -> None:
    of, table = silenced_table(rest=rest)
    scores = perturb_score(of, table, Stimulations(window_s=5), resamples=200)
    own = scores.predictors["model"]
    assert own.auroc.value == pytest.approx(1.0, abs=1e-3) and own.sign_agreement.value == pytest.approx(1.0, abs=0.01)
    assert own.amplitude_correlation.value == pytest.approx(1.0, abs=1e-3)
    assert (scores.table.experiment, scores.neurons_that_vary) == (REST if rest else SILENCING, "silenced")
    assert (scores.table.silenced, scores.table.stimulated) == (NEURONS, 0 if rest else 2)
    assert scores.silence_at == "floor"
    shuffled = np.random.default_rng(0).permutation(NEURONS)
    names = dict(zip(of.connectome.ids.astype(str), of.connectome.ids[shuffled].astype(str), strict=True)) | {"": ""}
    assert table.silenced is not None
    other = replace(
        table, silenced=np.array([names[one] for one in table.silenced], object),
        responding=np.array([names[one] for one in table.responding], object),
    )  # fmt: skip
    chance = perturb_score(of, other, Stimulations(window_s=5), resamples=200).predictors["model"].auroc
    assert chance.value == pytest.approx(0.5, abs=0.1)


def test_everything_is_scored_from_the_silenced_neuron_on() -> None:
    of, table = silenced_table(noise=1.0)
    named = Opponents({**other_fits([of]), "none": _without_rates(of)})
    scores, pairs = score_responses(of, table, Stimulations(window_s=5), opponents=named, resamples=300)
    truth, brain = pairs.truth, of.connectome
    assert truth.silenced is not None and truth.groups == NEURONS and scores.table.rows == table.rows
    np.testing.assert_array_equal(np.unique(truth.silenced, return_inverse=True)[1], truth.group)
    np.testing.assert_array_equal(truth.distance, distances(brain, truth.silenced, truth.responding))
    assert (truth.distance != distances(brain, truth.stimulated, truth.responding)).any()
    by = {each.name: each for each in pairs.predictors}
    np.testing.assert_array_equal(by["run_1"].values, by["model"].values)
    assert scores.not_scored == {"none": score_run.CANNOT_BE_SILENT} and "none" not in by
    assert (by["untrained"].values != by["model"].values).any()
    for name in ("model+two_steps+functional_connectivity", "learned", "paths_0.25", "resolvent_0.9"):
        assert scores.predictors[name].auroc.value is not None
    assert by["learned"].label == "learned from other silenced neurons (10 folds)"
    readout = of.require_job().readout
    direct = recording_predictors(of.cohort, readout, brain, truth.silenced, truth.responding, window_s=5.0)
    for each in direct:
        np.testing.assert_array_equal(by[each.name].values, 0 - each.values)
    rows = list(csv.DictReader(pairs.csv().splitlines()))
    assert table.silenced is not None and [row["silenced"] for row in rows] == table.silenced.tolist()
    # Labels of one silenced neuron are a block: what the interval leaves out is neurons, not pairs.
    alone = replace(table, silenced=np.full(table.rows, "n1", object), stimulated=table.silenced)
    keep = np.flatnonzero((alone.stimulated != "n1") & (alone.responding != "n1"))
    few = read_measured(pd.DataFrame({
        "stimulated": alone.stimulated[keep], "silenced": "n1", "responding": alone.responding[keep],
        "q": table.q[keep] if table.q is not None else None,
    }).drop_duplicates(["stimulated", "responding"]))  # fmt: skip
    found = score_responses(of, few, Stimulations(window_s=5), resamples=10)[0].predictors["model"].auroc
    assert found.reason == "one silenced neuron: there is no interval over neurons" and found.low is None


def _without_rates(of: cf.Fit) -> Opponent:
    """An opponent whose cells send no state."""

    class Cell:
        sends_state = False

    class Model:
        neuron = Cell()

    return Opponent("none", "run", Model(), of.params, of.connectome, of.cohort)  # type: ignore[arg-type]  # is not run


def test_sets_are_stimulated_silenced_and_read_together() -> None:
    of, _ = silenced_table()
    rows = [("id:n30,n35", "id:n3,n5", "id:n12,n14"), ("n30", "n3", "n12"), ("n30", "id:n3,n5", "n14")]
    frame = pd.DataFrame(rows, columns=["stimulated", "silenced", "responding"]).assign(responds=[1, 0, 0])
    how = Stimulations(window_s=5)
    _, pairs = score_responses(of, read_measured(frame), how, opponents=Opponents(other_fits([of])), resamples=5)
    found = {each.name: each.values for each in pairs.predictors}
    np.testing.assert_array_equal(found["run_1"], found["model"])
    sites = [([30, 35], [3, 5], [12, 14]), ([30], [3], [12]), ([30], [3, 5], [14])]
    for value, (driven, silent, read) in zip(found["model"], sites, strict=True):
        changes = silencing_changes(
            of.model, of.params, [np.array(driven)], [np.array(silent)], how, mean=of.cohort.mean_activity(),
            unit_of_strength=typical_deviation(of.cohort), seen=TrainingRange.of(of.model, of.params, of.cohort),
        )  # fmt: skip
        assert value == pytest.approx(changes[0, read].mean(), rel=1e-4, abs=1e-9)
    truth, readout = pairs.truth, of.require_job().readout
    together = list(silencing_recordings(of.cohort, readout, of.connectome, truth, window_s=5.0))
    # Of the last two pairs nobody that responds was recorded, nor of the first.
    assert all(np.isnan(each.values).all() for each in together)
    assert {each.name: each.signed for each in together} == {"functional_connectivity": True, "impulse_response": True}


def test_rates_of_an_unstimulated_run_are_those_of_the_pulse_without_it(float64: None) -> None:
    """Silencing nobody that matters changes nothing, and the pulse alone is what is taken off."""
    problem, params = linear_model("none")
    how = Stimulations(pulse_s=1.0, window_s=10.0, drive="none")
    mean, driven = np.ones(3), np.array([7])
    pulse = pulse_responses(problem.model, params, driven, how, unit_of_strength=1.0, mean=mean)[0]
    both, rest = silencing_changes(
        problem.model, params, [driven, np.zeros(0, int)], [driven, driven], how, unit_of_strength=1.0, mean=mean,
        seen=unseen(12),
    )  # fmt: skip
    # With the stimulated neuron silent, what is left with and without its pulse is the same.
    np.testing.assert_allclose(both + pulse, rest, rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small import write_files

    from connfit import config as configuration
    from connfit.training import runs

    folder = tmp_path_factory.mktemp("silenced")
    options = ["train.epochs=1", "train.free_run_epochs=0"]
    runs.start(configuration.override(configuration.read(write_files(folder)), options), folder / "run")
    _, table = silenced_table(noise=0.5)
    silencing = pd.DataFrame(
        {"stimulated": table.stimulated, "silenced": table.silenced, "responding": table.responding, "q": table.q,
         "amplitude": table.amplitude}
    )  # fmt: skip
    plain = silencing.head(200).assign(silenced="").drop_duplicates(["stimulated", "responding"])
    pd.concat([plain, silencing]).to_csv(folder / "mine.csv", index=False)
    return folder / "run"


def test_the_command_scores_silencing(run: Path) -> None:
    given = [
        "perturb-score",
        str(run),
        "--measured",
        str(run.parent / "mine.csv"),
        "--window",
        "5",
        "--resamples",
        "50",
    ]
    done = CliRunner().invoke(cli.app, given)
    assert done.exit_code != 0 and isinstance(done.exception, DataError)
    assert "rows are of 2 experiments" in str(done.exception) and "row 1" in str(done.exception)
    done = CliRunner().invoke(cli.app, [*given, "--experiment", "silencing", "--silence-at", "zero"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    for words in (
        "whose response to a stimulus changes when others are silenced", "from silenced to responding neuron",
        "Intervals are over silenced neurons", "held at 0 in the units of the prepared recording",
        "rows are of other experiments",
    ):  # fmt: skip
        assert words in said, said
    out = run / "measured" / "mine-silencing"
    validator("scores.json").validate(json.loads((out / "scores.json").read_text()))
    scores = read_json(out / "scores.json", ScoredResponses)
    assert (scores.table.experiment, scores.neurons_that_vary, scores.silence_at) == (SILENCING, "silenced", "zero")
    assert scores.table.other_rows > 0 and scores.table.rows + scores.table.other_rows == len(
        pd.read_csv(run.parent / "mine.csv")
    )
    with (out / "responses.csv").open() as file:
        assert next(csv.reader(file))[:3] == ["stimulated", "silenced", "responding"]
    wrong = CliRunner().invoke(cli.app, [*given, "--experiment", "silencing", "--silence-at", "nil"])
    assert wrong.exit_code != 0 and isinstance(wrong.exception, ConfigError) and "zero" in str(wrong.exception)


@pytest.mark.parametrize("rest", [False, True])
def test_words_and_figures_speak_of_changes(rest: bool) -> None:
    of, table = silenced_table(noise=0.5, rest=rest)
    scores = perturb_score(of, table, Stimulations(window_s=5), resamples=20)
    words = " ".join(measured_words("measured/made/scores.json", scores))
    assert ("changes from rest among" in words) == rest and ("changes of a response among" in words) != rest
    assert "stimulated and" not in words and "Intervals are over silenced neurons" in words
    assert ("of the same pulse with nobody silenced" in words) != rest
    (drawing,) = measured_drawings({"made": scores})
    assert "95 % intervals over silenced neurons" in drawing.caption
    figure = measured_figure(scores)
    assert not overlapping(figure)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == [
        "share of other pairs taken for changes when silenced",
        "connections from silenced to responding neuron",
    ]
    blocks = " ".join(measured_blocks({"made": scores}))
    assert f"intervals over {NEURONS} silenced neurons" in blocks and "within a silenced neuron" in blocks
    answer = write_prose("questions/unseen_perturbations.j2", {"measured/made/scores.json": scores}).paragraphs
    assert "pairs of neurons that were silenced and watched" in " ".join(answer)
    assert title({"a": scores}) == "Measured responses to silencing"
