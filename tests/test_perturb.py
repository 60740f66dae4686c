"""Stimulation and silencing: against fixed points solved by NumPy, smaller brains, and as the command."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from networks import Problem, dense_matrices, random_connectome
from overlaps import overlapping
from small import NEURONS, student, teacher, write_files
from typer.testing import CliRunner

from connfit import cli
from connfit import config as configuration
from connfit._io import plain, read_json
from connfit.analysis.perturbation import Experiment
from connfit.analysis.perturbation_results import HeldSet, Perturbation, Response
from connfit.connectome import Connectome, from_pairs
from connfit.errors import ConfigError, DataError, DivergedError
from connfit.models import RateModel, Readout, init_params
from connfit.models.frame_loop import CHUNK
from connfit.models.held_rates import OutsideTraining, TrainingRange, silent_rates
from connfit.models.perturb import HeldNeurons, parse_neuron_set, settled, simulate_perturbed
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.training import runs

BIG = 720575940621234567  # above 2^53: neighbours are one number in double precision


def linear_brain(drive: str = "dense", state_forcing: float = 0.0) -> tuple[Connectome, Readout, RateModel, dict]:
    """Ten neurons of both signs that no input of the tests silences, so that their equations are linear."""
    rng = np.random.default_rng(4)
    brain = random_connectome(rng, 10, 3)
    shares = np.where(rng.random((3, 10)) < 0.4, rng.random((3, 10)), 0)
    shares[np.arange(3), np.arange(3)] = 0.5
    readout = Readout(sp.csr_array(shares), ("a", "b", "c"))
    model = RateModel.from_connectome(brain, readout, step_s=1.0, drive=drive, state_forcing=state_forcing)
    params = {
        "weights": jnp.asarray(rng.random(brain.m) * 0.15),
        "log_time_constants": jnp.asarray(rng.normal(0, 0.3, 10)),
        "bias": jnp.asarray(1 + rng.random(10)),
    }
    if drive == "dense":
        params["drive"] = jnp.asarray(rng.random((10, 3)) * 0.05)
    return brain, readout, model, params


def fixed_point(
    brain: Connectome, readout: Readout, model: RateModel, params: dict, held: dict[int, float], *, drive: str, mean
) -> np.ndarray:
    """Rates at rest where the rows of the held neurons read r_i = rate."""
    problem = Problem(brain, readout, model, params, None)  # type: ignore[arg-type]  # no window is needed
    w, e, c = (np.asarray(one, np.float64) for one in dense_matrices(problem, params))
    matrix = w + (e @ c if drive == "own" else 0)
    right = np.asarray(params["bias"]) + (e @ mean if drive == "mean" else 0)
    rows, right = np.eye(brain.n) - matrix, right.copy()
    for neuron, rate in held.items():
        rows[neuron], right[neuron] = np.eye(brain.n)[neuron], rate
    rates = np.linalg.solve(rows, right)
    assert (rates >= 0).all() and (np.delete(rates, list(held)) > 0).all(), "linear, as the test needs it"
    return rates


@pytest.mark.parametrize(
    ("drive", "state_forcing"),
    [("own", 0.0), pytest.param("mean", 0.0, marks=pytest.mark.slow), ("none", 0.0), ("mean", 0.5)],
)
def test_rates_settle_where_the_equations_say(drive: str, state_forcing: float, float64: None) -> None:
    """With state forcing too: what units show is a background, which acts through the drive alone."""
    brain, readout, model, params = linear_brain(state_forcing=state_forcing)
    mean, held = np.array([0.5, 1.0, 2.0]), {1: 3.0, 6: 0.0, 7: 0.4}
    perturbation = HeldNeurons(np.array([7, 1, 6]), np.array([0.4, 3.0, 0.0]))
    start = settled(model, params, mean, drive=drive).rates
    shown = "none" if drive == "none" else "mean"
    rest = fixed_point(brain, readout, model, params, {}, drive=shown, mean=mean)
    np.testing.assert_allclose(start, rest, rtol=1e-4)
    watched = [np.array([0, 1, 6]), np.array([9])]
    # Time constants of at most 2 steps and loops below 0.6 leave less than 1e-16 of any transient after 200 steps:
    # what remains is rounding.
    got = simulate_perturbed(model, params, perturbation, 400, start, mean=mean, drive=drive, watched=watched)
    for rates, of, units, sets in (
        (got.neuron_perturbed, held, got.perturbed, got.set_perturbed),
        (got.neuron_baseline, {}, got.baseline, got.set_baseline),
    ):
        expected = fixed_point(brain, readout, model, params, of, drive=drive, mean=mean)
        np.testing.assert_allclose(rates, expected, rtol=1e-12)
        np.testing.assert_allclose(units[-1], readout.matrix @ expected, rtol=1e-12)
        np.testing.assert_allclose(sets[-1], [expected[one].mean() for one in watched], rtol=1e-12)
    change = np.abs(got.neuron_perturbed - got.neuron_baseline)
    assert sorted(got.ranked) == [0, 2, 3, 4, 5, 8, 9]
    assert np.all(np.diff(change[got.ranked]) <= 0)


def test_the_course_of_a_response_is_that_of_the_equations() -> None:
    one, steps = student(), CHUNK + 9
    plain, mean = one.plain(), one.cohort.mean_activity()
    start = settled(one.model, one.params, mean).rates
    perturbation = HeldNeurons(np.array([3, 11]), np.array([2.0, 0.0]))
    got = simulate_perturbed(one.model, one.params, perturbation, steps, start)
    for held, units, neurons in (
        (True, got.perturbed, got.neuron_perturbed),
        (False, got.baseline, got.neuron_baseline),
    ):
        r, rates = start.astype(np.float64), []
        for _ in range(steps + 1):
            if held:
                r[perturbation.neurons] = perturbation.rates
            rates.append(r)
            r = plain.step(r, plain.c @ r)
        course = np.array(rates[1:])
        # float32 against float64 over less than a hundred steps of a contracting network
        np.testing.assert_allclose(units, course @ plain.c.T, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(neurons, course[steps // 2 :].mean(axis=0), rtol=2e-4, atol=2e-5)


def test_an_injected_current_is_a_bias_from_the_onset_on(float64: None) -> None:
    _, _, model, params = linear_brain()
    mean, current = np.array([0.5, 1.0, 2.0]), np.zeros(10)
    current[[2, 5]] = 0.3, 0.1
    start = settled(model, params, mean)
    got = simulate_perturbed(model, params, HeldNeurons(), 40, start.neurons, mean=mean, current=current)
    biased = {**params, "bias": params["bias"] + current}
    other = simulate_perturbed(model, biased, HeldNeurons(), 40, start.neurons, mean=mean)
    np.testing.assert_allclose(got.perturbed, other.baseline, rtol=1e-12)
    assert np.abs(got.perturbed - got.baseline).max() > 0.01


def test_it_settles_at_the_training_mean() -> None:
    one = student()
    plain, mean = one.plain(), one.cohort.mean_activity()
    rates = np.zeros(NEURONS)
    for _ in range(2000):
        rates = plain.step(rates, mean)
    np.testing.assert_allclose(settled(one.model, one.params, mean).rates, rates, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("electrical", [pytest.param(0, marks=pytest.mark.slow), 12])
def test_silencing_is_the_brain_without_the_neurons_outputs(electrical: int, float64: None) -> None:
    brain = random_connectome(np.random.default_rng(2), 20, 4, electrical=electrical)
    rng, gone = np.random.default_rng(3), np.array([2, 5])
    shares = np.zeros((3, 20))
    shares[:, 8:] = rng.random((3, 12))  # no unit reads the silenced neurons, whose rates differ
    readout = Readout(sp.csr_array(shares), ("a", "b", "c"))
    model = RateModel.from_connectome(brain, readout, step_s=0.5)
    weights = 0.2 * rng.random(brain.m)
    params = {
        "weights": jnp.asarray(weights),
        "log_time_constants": jnp.asarray(rng.normal(0, 0.3, 20)),
        "bias": jnp.asarray(rng.random(20)),
        "drive": jnp.asarray(rng.random((20, 3)) * 0.1),
    }
    keep = ~np.isin(brain.indices, gone)
    cut = from_pairs(
        "cut", brain.indices[keep & ~brain.electrical], brain.posts[keep & ~brain.electrical],
        brain.counts[keep & ~brain.electrical], brain.signs, brain.neurons,
    )  # fmt: skip
    if electrical:  # a gap junction cannot be cut in one direction: leave the connections and take their strength
        cut, kept = brain, np.where(keep, weights, 0)
    else:
        kept = weights[keep]
    without = RateModel.from_connectome(cut, readout, step_s=0.5)
    start = rng.random(20)
    got = simulate_perturbed(model, params, HeldNeurons(gone, np.zeros(2)), 50, start)
    other = simulate_perturbed(without, {**params, "weights": jnp.asarray(kept)}, HeldNeurons(), 50, start)
    rest = np.setdiff1d(np.arange(20), gone)
    np.testing.assert_allclose(got.neuron_perturbed[rest], other.neuron_baseline[rest], rtol=1e-12)
    np.testing.assert_allclose(got.perturbed, other.baseline, rtol=1e-12)
    assert np.abs(got.change[rest]).max() > 1e-3 and (got.neuron_perturbed[gone] == 0).all()


def test_no_perturbation_changes_nothing() -> None:
    one = student(substeps=3)
    start = settled(one.model, one.params, one.cohort.mean_activity()).rates
    got = simulate_perturbed(one.model, one.params, HeldNeurons(), 100, start, watched=[np.arange(4)])
    np.testing.assert_array_equal(got.perturbed, got.baseline)
    np.testing.assert_array_equal(got.set_perturbed, got.set_baseline)
    assert not got.change.any() and got.ranked.tolist() == list(range(NEURONS))
    assert got.baseline.std(axis=0).max() < 1, "a free run without noise stays where it is"


def test_with_drive_held_only_what_is_downstream_changes() -> None:
    one = student()
    graph = sp.csr_array(np.abs(one.connectome.matrix().toarray()).T > 0)  # [pre, post]
    order = sp.csgraph.breadth_first_order(graph, 5, return_predecessors=False)
    start = settled(one.model, one.params, one.cohort.mean_activity(), drive="mean").rates
    options = {"mean": one.cohort.mean_activity(), "drive": "mean"}
    got = simulate_perturbed(one.model, one.params, HeldNeurons(np.array([5]), np.array([4.0])), 80, start, **options)
    assert set(np.flatnonzero(got.change)) <= set(order.tolist())
    assert got.change[5] == pytest.approx(4 - got.neuron_baseline[5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 1}, "2 or more model steps, not 1"),
        ({"drive": "men"}, "drive is 'men'.*did you mean 'mean'"),
        ({"drive": "mean"}, "needs the mean"),
        (
            {"perturbation": HeldNeurons(np.array([NEURONS]), np.zeros(1))},
            f"perturbation must lie in 0..{NEURONS - 1}",
        ),
        ({"watched": [np.array([-1])]}, "watched set must lie"),
    ],
)
def test_wrong_options_are_named(change: dict, message: str) -> None:
    one = student()
    options = {"perturbation": HeldNeurons(), "steps": 4, "start": np.zeros(NEURONS), **change}
    with pytest.raises(ConfigError, match=message):
        simulate_perturbed(one.model, one.params, **options)


def test_activity_that_explodes_is_an_error() -> None:
    one = student()
    wild = {**one.params, "drive": jnp.full_like(one.params["drive"], 50.0)}
    with pytest.raises(DivergedError, match=r"grew without bound within .* use drive = 'mean'"):
        simulate_perturbed(one.model, wild, HeldNeurons(), 2000, np.ones(NEURONS))


def test_perturbations_are_checked() -> None:
    with pytest.raises(ConfigError, match="the same neuron twice"):
        HeldNeurons(np.array([1, 1]), np.zeros(2))
    with pytest.raises(ConfigError, match="0 or more"):
        HeldNeurons(np.array([1]), np.array([-1.0]))
    with pytest.raises(ConfigError, match=r"\(2,\) neurons, but \(1,\) rates"):
        HeldNeurons(np.array([1, 2]), np.zeros(1))
    both = HeldNeurons.of(
        {"type:A=2": (np.array([4, 1]), 2.0), "id:n4=2": (np.array([4]), 2.0)}, {"id:n0": np.zeros(1)}
    )
    assert both.neurons.tolist() == [0, 1, 4] and both.rates.tolist() == [0, 2, 2]
    with pytest.raises(ConfigError, match="stimulated a and silenced b share neurons: one is held at 2, one at 0"):
        HeldNeurons.of({"a": (np.array([1]), 2.0)}, {"b": np.array([1])})
    with pytest.raises(ConfigError, match="stimulated a: its rate is -1"):
        HeldNeurons.of({"a": (np.array([1]), -1.0)})


def named_brain() -> Connectome:
    table = pd.DataFrame(
        {
            "id": np.array([BIG, BIG + 1, BIG + 2, 17], np.int64),
            "type": ["LB3", "LB3", "DN,a", ""],
            "region": ["GNG_L", "GNG_R", "GNG_L", None],
            "transmitter": "",
            "side": "",
            "super_class": ["sensory", "sensory", "descending", "central"],
            "x": 0.5,
        }
    )
    one = np.ones(1, np.int64)
    return from_pairs("named", 0 * one, one, one, np.ones(4, np.int64), table)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type:LB3", [0, 1]),
        ("region:GNG_L", [0, 2]),
        ("region:GNG_L, GNG_R", [0, 1, 2]),
        ("type:DN,a", [2]),
        ("super_class:sensory", [0, 1]),
        (f"id:{BIG + 1}", [1]),
        (f"id:{BIG + 2},{BIG},{BIG}", [0, 2]),
    ],
)
def test_sets_of_neurons(text: str, expected: list[int]) -> None:
    assert parse_neuron_set(text, named_brain()).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LB3", "'LB3' must be KIND:NAME, where KIND is one of id, type, region, transmitter, side, super_class, file"),
        ("tipe:LB3", "its kind is 'tipe'.*did you mean 'type'"),
        ("x:0.5", "its kind is 'x', but must be one of"),
        ("type:", "'type:' is empty: give a name"),
        ("type:,", "connectome 'named' has no type of no name"),
        ("type:lb", "--silence 'type:lb': connectome 'named' has no type 'lb'; did you mean 'LB3'"),
        ("region:GNG_X", "no region 'GNG_X'; did you mean 'GNG_[RL]' or 'GNG_[RL]'"),
        (f"id:17,{BIG + 9}", f"no id '{BIG + 9}'; did you mean '72"),
        ("id:nothing", "no id 'nothing'$"),
    ],
)
def test_wrong_sets_are_named_with_what_is_near(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_neuron_set(text, named_brain(), option="--silence")


def test_sets_from_files(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(f"# sugar neurons\n{BIG + 2}, {BIG}  # two\n\n17\n")
    assert parse_neuron_set(f"file:{path}", named_brain()).tolist() == [0, 2, 3]
    path.write_text(f"{BIG}\n99")
    with pytest.raises(DataError, match=r"ids\.txt: .*has no id '99'"):
        parse_neuron_set(f"file:{path}", named_brain())
    path.write_text("# none\n")
    with pytest.raises(DataError, match=r"ids\.txt: holds no ids"):
        parse_neuron_set(f"file:{path}", named_brain())
    with pytest.raises(DataError, match="no such file"):
        parse_neuron_set(f"file:{tmp_path / 'absent'}", named_brain())


def test_names_of_folders_say_what_is_done_and_stay_short() -> None:
    experiment = Experiment(("type:LB3=1.5",), ("region:GNG_L",), drive="mean")
    assert experiment.folder_name() == "stimulate-type-LB3=1.5_silence-region-GNG_L_drive-mean"
    names = {Experiment(silence=(f"file:/{'x' * 200}/{k}",)).folder_name() for k in (1, 2)}
    assert len(names) == 2 and max(map(len, names)) <= 80


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("perturbed")
    config = configuration.override(configuration.read(write_files(folder)), ["train.epochs=1"])
    runs.start(configuration.override(config, ["train.free_run_epochs=0", "data.substeps=2"]), folder / "run")
    return folder / "run"


def test_the_command_writes_what_it_did(fitted: Path) -> None:
    brain, movies = teacher()
    options = ["--stimulate", "id:n1,n3=30", "--silence", "region:C", "--seconds", "12", "--readout", "region:A"]
    options += ["--silence-at", "zero"]
    ran = CliRunner().invoke(cli.app, ["simulate", str(fitted), *options, "--name", "one"])
    assert ran.exit_code == 0, ran.output
    out = fitted / "simulations" / "one"
    record = json.loads((out / "perturbation.json").read_text())
    assert plain(read_json(out / "perturbation.json", Perturbation)) == record
    in_c = brain.neurons["region"].tolist().count("C")
    assert [(one["kind"], one["rate"], one["neurons"]) for one in record["sets"]] == [
        ("stimulated", 30, 2),
        ("silenced", 0, in_c),
    ]
    assert (record["seconds"], record["steps"], record["averaged_s"]) == (12, 48, [6, 12])
    assert all(one["baseline"] >= 0 for one in record["sets"])
    changes = [abs(row["change"]) for row in record["units"]]
    assert sorted(changes, reverse=True) == changes and {row["name"] for row in record["units"]} == set(movies[0].units)
    with (out / "perturbation_neurons.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "type", "region", "sign", "baseline", "perturbed", "change", "role"]
    assert {row["id"] for row in rows} == set(brain.neurons["id"]) and len(rows) == brain.n
    assert {row["role"] for row in rows[: -2 - in_c]} == {""}
    assert {row["id"] for row in rows if row["role"] == "stimulated"} == {"n1", "n3"}
    assert {row["region"] for row in rows if row["role"] == "silenced"} == {"C"}
    held = {(row["role"], float(row["perturbed"])) for row in rows if row["role"]}
    assert held == {("stimulated", 30), ("silenced", 0)}
    assert [row["id"] for row in rows[:3]] == [row["id"] for row in record["changed_neurons"][:3]]
    assert {path.name for path in out.iterdir()} == {
        "perturbation.json", "perturbation.npz", "perturbation_neurons.csv",
        *(f"perturbation_{what}.{end}" for what in ("neurons", "responses") for end in ("png", "svg")),
    }  # fmt: skip
    with np.load(out / "perturbation.npz") as traces:
        assert traces["unit_perturbed"].shape == (24, len(movies[0].units)) and traces["set_baseline"].shape == (24, 1)
        assert traces["time_s"][-1] == 12
    assert record["sets"][0]["outside_training"]["above"] == 2 and len(record["cautions"]) == 2
    assert "caution: id:n1,n3 stimulated: 2 above of 2 neurons held outside" in ran.output
    assert "SURROGATE" not in ran.output and "region:C silenced at 0" in ran.output


def test_current_is_injected_from_the_command_line(fitted: Path) -> None:
    options = ["--inject", "id:n1,n3=0.5", "--inject", "id:n2=-0.2", "--seconds", "12"]
    ran = CliRunner().invoke(cli.app, ["simulate", str(fitted), *options])
    assert ran.exit_code == 0, ran.output
    (out,) = (fitted / "simulations").glob("inject-*")
    record = json.loads((out / "perturbation.json").read_text())
    assert plain(read_json(out / "perturbation.json", Perturbation)) == record
    assert [(one["set"], one["input"], one["neurons"]) for one in record["injected"]] == [
        ("id:n1,n3", 0.5, 2),
        ("id:n2", -0.2, 1),
    ]
    assert record["sets"] == [] and record["held_neurons"] == 0
    with (out / "perturbation_neurons.csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert {name for name, row in rows.items() if row["role"] == "injected"} == {"n1", "n2", "n3"}
    assert float(rows["n1"]["change"]) > 0 > float(rows["n2"]["change"])
    assert "given +0.5 of input (2 neurons" in ran.output


def test_silenced_neurons_are_held_where_their_units_were_lowest(fitted: Path) -> None:
    """With recordings that never come near 0, 0 is no silence: the floor of the training values is."""
    cohort = runs.load_fit(fitted).cohort
    floor = np.percentile(np.concatenate([one.part("train")[0][:, 1] for one in cohort.recordings]), 1)
    options = ["--silence", "id:n1", "--silence", "id:n30", "--seconds", "6", "--name", "floor"]
    ran = CliRunner().invoke(cli.app, ["simulate", str(fitted), *options])
    assert ran.exit_code == 0, ran.output
    record = json.loads((fitted / "simulations" / "floor" / "perturbation.json").read_text())
    recorded, hidden = record["sets"]
    assert record["silence_at"] == "floor" and "caution" not in ran.output
    assert recorded["rate"] == pytest.approx(min(floor, recorded["held"]["highest"]), rel=1e-5)
    assert 0 <= recorded["rate"] <= floor + 1e-6
    assert hidden["rate"] == 0 and hidden["outside_training"]["unread"] == 1
    with (fitted / "simulations" / "floor" / "perturbation_neurons.csv").open() as file:
        assert {row["id"] for row in csv.DictReader(file) if row["role"] == "silenced"} == {"n1", "n30"}


def shifted(values: np.ndarray) -> tuple[TrainingRange, np.ndarray, np.ndarray]:
    """A recording of three neurons of six whose values end far above 0, as after `scale` with a margin."""
    brain = random_connectome(np.random.default_rng(0), 6, 2)
    movie = Recording("a", values, ("n0", "n1", "n2"), 2.0).split(train=0.6, validation=0.2)
    readout = Readout.by_name(brain, movie.units)
    model = RateModel.from_connectome(brain, readout, step_s=0.5)
    params = init_params(model, brain, readout)
    train = values[: round(0.6 * len(values))]
    return TrainingRange.of(model, params, Cohort.from_recordings([movie])), train, np.asarray(model.decay(params))


def test_no_activity_is_the_floor_of_the_neurons_units() -> None:
    values = 4 + np.random.default_rng(1).normal(0, 0.5, (200, 3)).astype(np.float32)
    values[150:] = 0  # later parts do not count
    seen, train, _ = shifted(values)
    np.testing.assert_allclose(seen.floor[:3], np.percentile(train, 1, axis=0), rtol=1e-5)
    assert np.isnan(seen.floor[3:]).all()
    start = np.array([4.0, 4.0, 1.0, 2.0, 2.0, 2.0])
    held = silent_rates(seen, start)
    # The floor; the third neuron is lower than that already; hidden ones have no shifted units.
    np.testing.assert_allclose(held, [*np.percentile(train[:, :2], 1, axis=0), 1, 0, 0, 0], rtol=1e-5)
    np.testing.assert_array_equal(silent_rates(seen, start, "zero"), 0)
    assert seen.distance(np.arange(2), held[:2]) == OutsideTraining()


def test_rates_that_were_never_observed_are_counted_and_said() -> None:
    values = 4 + np.random.default_rng(1).normal(0, 0.5, (200, 3)).astype(np.float32)
    seen, train, _ = shifted(values)
    far = seen.distance(np.array([0, 1, 2, 5]), np.array([0.0, 4.0, 9.0, 9.0]))
    assert (far.below, far.above, far.unread) == (1, 1, 1)
    expected = max(train[:, 0].min() / train[:, 0].std(), (9 - train[:, 2].max()) / train[:, 2].std())
    assert far.farthest == pytest.approx(expected, rel=1e-4)
    said = far.caution("id:n0 silenced", 4)
    assert said is not None and said.startswith("id:n0 silenced: 1 below and 1 above of 4 neurons held outside")


def test_the_command_refuses_what_is_wrong(fitted: Path) -> None:
    for options, message in (
        ([], "nothing is perturbed: give --stimulate"),
        (["--stimulate", "id:n1"], "must be SET=rate"),
        (["--stimulate", "id:n1=fast"], "must be SET=rate"),
        (["--inject", "id:n1"], "--inject 'id:n1' must be SET=input"),
        (["--inject", "id:n1=inf"], "its input is inf, but must be finite"),
        (["--inject", "id:n1=1", "--silence", "id:n1"], "--inject 'id:n1=1' and what is held share neurons"),
        (["--inject", "id:n1=1", "--inject", "region:B=1"], "'region:B=1' and --inject 'id:n1=1' share neurons"),
        (["--silence", "region:Z"], "--silence 'region:Z': .* has no region 'Z'"),
        (["--silence", "id:n1", "--readout", "id:N1"], "--readout 'id:N1'.*did you mean 'n1'"),
        (["--silence", "id:n1", "--seconds", "0.2"], "--seconds is 0.2, but must be at least 1: two frames"),
        (["--silence", "id:n1", "--drive", "owm"], "drive is 'owm'.*did you mean 'own'"),
        (["--silence", "id:n1", "--silence-at", "flor"], "--silence-at is 'flor'.*did you mean 'floor'"),
        (["--silence", "id:n1", "--name", "../x"], "--name is '../x', but must be"),
    ):
        ran = CliRunner().invoke(cli.app, ["simulate", str(fitted), *options])
        with pytest.raises(ConfigError, match=message):
            assert ran.exception is not None
            raise ran.exception


def test_a_surrogate_says_so_and_an_unchanged_brain_can_be_drawn() -> None:
    from connfit.report.figures.perturbation_figure import neurons_figure, responses_figure, what_was_done

    record = Perturbation(
        surrogate=True, dataset="toy", sets=(HeldSet("silenced", "id:n1", 0, 1, 2.5),), drive_in_words="none",
        value_units="Hz", averaged_s=(1, 2), units=(Response("u", 1.0, 1.0, 0.0),),
    )  # fmt: skip
    assert what_was_done(record) == "SURROGATE toy: id:n1 silenced at 0 (1 neuron, unperturbed 2.5); drive: none"
    trace = {"time_s": np.array([1.0, 2.0]), "unit_baseline": np.ones((2, 1)), "unit_perturbed": np.ones((2, 1))}
    figure = responses_figure(record, trace, {"unit": ["u"], "set": []})
    assert figure.axes[0].get_ylabel() == "activity\n(Hz)" and figure.axes[0].get_title(loc="left") == "u"
    assert figure.get_suptitle().startswith("SURROGATE")
    many = replace(
        record, value_units="dimensionless, scaled", units=tuple(Response(name, 1.0, 1.0, 0.0) for name in "uvwxyz")
    )
    traces = {"time_s": np.array([1.0, 2.0]), "unit_baseline": np.ones((2, 6)), "unit_perturbed": np.ones((2, 6))}
    assert overlapping(responses_figure(many, traces, {"unit": [*"uvwxyz"], "set": []})) == []
    assert neurons_figure(record).axes[0].texts[0].get_text() == "no neuron changed"
