"""Experiments on a spiking network: conditions, trials, intervals, files, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_cli import connfit  # noqa: F401  # a fixture
from test_spiking import random_brain, wired
from valid import validator

from connfit._io import read_json
from connfit.analysis.spiking import SpikingExperiment, SpikingSimulation, simulate_spiking
from connfit.analysis.spiking.over_trials import over_trials, t_interval
from connfit.analysis.spiking.side_by_side_trials import Condition, Trials, run_conditions
from connfit.connectome import Connectome
from connfit.connectome.fingerprint import connectome_fingerprint
from connfit.datasets.shiu_sets import SHIU_SETS
from connfit.errors import ConfigError
from connfit.models.spiking import SHIU, PoissonTrains, SpikingNetwork, spikes_of

SUGAR = "id:n0,n1,n2"


def chain() -> Connectome:
    """n0, n1, n2 drive n3, which drives n4; n5 inhibits n4 and is driven by n0; n6 drives nobody."""
    counts = np.zeros((7, 7), int)
    counts[3, :3] = 40
    counts[4, 3] = 90
    counts[5, 0] = 90
    counts[4, 5] = 25
    brain = wired(counts, np.array([1, 1, 1, 1, 1, -1, 1]))
    types = ["grn", "grn", "grn", "relay", "motor", "inter", "other"]
    return Connectome(
        "chain", brain.indptr, brain.indices, brain.counts, brain.signs,
        brain.neurons.assign(type=types, region=["A"] * 4 + ["B"] * 3), notes={"sign_rule": "shiu"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[SpikingSimulation, Path]:
    out = tmp_path_factory.mktemp("spiking") / "out"
    experiment = SpikingExperiment(
        (f"{SUGAR}=20,80,150",), readout=("type:motor", "type:relay"), seconds=0.5, trials=6, seed=3
    )
    return simulate_spiking(chain(), experiment, out), out


def test_rates_are_those_of_trials_simulated_one_by_one(simulated: tuple[SpikingSimulation, Path]) -> None:
    done, out = simulated
    network = SpikingNetwork.of(chain())
    table = pd.read_csv(out / "readouts.csv")
    assert list(table) == ["readout", "dose", f"{SUGAR} (Hz)", "trial", "rate_hz"]
    assert len(table) == 2 * 3 * 6
    for dose, hz in enumerate((20.0, 80.0, 150.0)):
        counts = []
        for trial in range(6):
            trains = PoissonTrains(np.full((3, 1), hz), 0.1, [(3, trial)])
            *_, last = spikes_of(network, np.arange(3), trains, 5000, 0.1, implementation="portable")
            counts.append(last.counts[:, 0] / 0.5)
        rates = np.array(counts)
        for name, neuron in (("type:motor", 4), ("type:relay", 3)):
            chosen = table[(table["readout"] == name) & (table["dose"] == dose)].sort_values("trial")
            np.testing.assert_allclose(chosen["rate_hz"], rates[:, neuron])
            expected = over_trials(rates[:, neuron])
            assert done.doses[dose].readouts[["type:motor", "type:relay"].index(name)] == expected
        assert done.doses[dose].active_neurons.mean == pytest.approx((rates > 0).sum(axis=1).mean())
        assert done.doses[dose].rate_hz.mean == pytest.approx(rates.mean())
        neurons = pd.read_parquet(out / "neuron_rates.parquet")
        neurons = neurons[neurons["dose"] == dose].set_index("id")
        for k in range(6):
            assert neurons.loc[f"n{k}", "rate_hz"] == pytest.approx(rates[:, k].mean())
            assert neurons.loc[f"n{k}", "sd_hz"] == pytest.approx(rates[:, k].std(ddof=1))
        assert "n6" not in neurons.index
    assert done.doses[2].readouts[1].mean > done.doses[0].readouts[1].mean > 0


def test_spikes_are_in_the_file_with_their_times(simulated: tuple[SpikingSimulation, Path]) -> None:
    done, out = simulated
    spikes = pd.read_parquet(out / "spikes.parquet")
    assert len(spikes) == done.recorded_spikes > 0 and not done.spikes_left_out
    assert set(spikes["id"][spikes["stimulated"]]) == {"n0", "n1", "n2"}
    rates = pd.read_csv(out / "readouts.csv")
    for (dose, trial), chosen in spikes[spikes["id"] == "n4"].groupby(["dose", "trial"]):
        row = rates[(rates["readout"] == "type:motor") & (rates["dose"] == dose) & (rates["trial"] == trial)]
        assert len(chosen) / 0.5 == pytest.approx(row["rate_hz"].item())
        assert chosen["time_s"].is_monotonic_increasing
    assert spikes["time_s"].between(0, 0.5).all()


def test_the_record_is_valid_and_identifies_what_was_simulated(simulated: tuple[SpikingSimulation, Path]) -> None:
    done, out = simulated
    validator("spiking.json").validate(json.loads((out / "spiking.json").read_text()))
    assert read_json(out / "spiking.json", SpikingSimulation) == done
    assert done.fingerprint == connectome_fingerprint(chain())
    assert done.fingerprint != connectome_fingerprint(random_brain())
    assert (done.seed, done.trials, done.steps, done.neuron) == (3, 6, 5000, SHIU)
    assert [row.id for row in done.active] == sorted(
        ("n3", "n4", "n5"), key=lambda name: -max(next(row.rates_hz for row in done.active if row.id == name))
    )
    assert done.stimulated[0].rates_hz == (20.0, 80.0, 150.0)


def test_a_screen_finds_who_drives_and_who_inhibits() -> None:
    experiment = SpikingExperiment(
        (f"{SUGAR}=100",), readout=("type:motor",), screen="type:relay,inter,other", seconds=0.5, trials=8
    )
    done = simulate_spiking(chain(), experiment)
    assert done.screen is not None
    rows = {row.silenced: row for row in done.screen.rows}
    assert rows["n3"].change_hz.mean == pytest.approx(-done.doses[0].readouts[0].mean) and rows["n3"].changes
    assert rows["n5"].change_hz.mean > 0 and rows["n5"].changes
    # The same events in the same trials: whoever reaches nobody changes nothing at all.
    assert rows["n6"].change_hz.mean == 0 and rows["n6"].change_hz.sd == 0 and not rows["n6"].changes
    assert [abs(row.change_hz.mean) for row in done.screen.rows] == sorted(
        (abs(row.change_hz.mean) for row in done.screen.rows), reverse=True
    )
    # As if the neuron were silenced by itself.
    alone = simulate_spiking(
        chain(),
        SpikingExperiment((f"{SUGAR}=100",), ("type:inter",), ("type:motor",), seconds=0.5, trials=8),
    )
    assert alone.doses[0].readouts[0] == rows["n5"].rate_hz
    low, high = rows["n5"].low_of_all, rows["n5"].high_of_all
    assert low is not None and high is not None and rows["n5"].change_hz.low is not None
    assert low < rows["n5"].change_hz.low < rows["n5"].change_hz.mean < high


def test_screens_by_type_and_of_the_most_active() -> None:
    how = {"readout": ("type:motor",), "seconds": 0.3, "trials": 2}
    by_type = simulate_spiking(
        chain(), SpikingExperiment((f"{SUGAR}=100",), screen="region:A", screen_by="type", **how)
    ).screen
    assert by_type is not None
    assert {row.silenced: row.neurons for row in by_type.rows} == {"grn": 3, "relay": 1}
    active = simulate_spiking(chain(), SpikingExperiment((f"{SUGAR}=100",), screen="active:2", **how))
    assert active.screen is not None
    rates = {row.silenced: row.own_rate_hz for row in active.screen.rows}
    assert len(rates) == 2 and min(rates.values()) >= max(row.rates_hz[0] for row in active.active)


def test_intervals_are_those_of_scipy() -> None:
    values = np.random.default_rng(0).normal(5, 2, 9)
    expected = stats.t.interval(0.9, 8, loc=values.mean(), scale=stats.sem(values))
    assert t_interval(values, 0.9) == pytest.approx(expected)
    assert t_interval(values[:1], 0.9) == (None, None)


def test_batches_and_memory_do_not_change_what_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from connfit.analysis.spiking import side_by_side_trials

    network, trials = SpikingNetwork.of(random_brain()), Trials(3, 1, 900, 0.1)
    conditions = [Condition(np.full(4, hz), np.array(silent, int)) for hz, silent in ((100, []), (200, [7]), (300, []))]
    watched = np.arange(60)
    whole = run_conditions(network, np.arange(4), conditions, trials, [np.arange(4, 60)], watched=watched)
    monkeypatch.setattr(side_by_side_trials, "BESIDE", 2)
    monkeypatch.setattr(side_by_side_trials, "_RANDOM_NUMBERS", 1000)
    parts = run_conditions(network, np.arange(4), conditions, trials, [np.arange(4, 60)], watched=watched)
    np.testing.assert_array_equal(whole.readouts_hz, parts.readouts_hz)
    np.testing.assert_array_equal(whole.neurons_hz, parts.neurons_hz)
    pd.testing.assert_frame_equal(whole.spikes, parts.spikes)
    assert whole.total.sum() == len(whole.spikes) > 500
    monkeypatch.setattr(side_by_side_trials, "MOST_SPIKES", 500)
    few = run_conditions(network, np.arange(4), conditions, trials, [], watched=watched)
    assert few.spikes_left_out and len(few.spikes) == 500 and not whole.spikes_left_out
    np.testing.assert_array_equal(few.total, whole.total)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"stimulate": ()}, "nothing is stimulated"),
        ({"stimulate": ("type:grn",)}, "must be SET=RATE_HZ"),
        ({"stimulate": ("type:grn=10,-5",)}, "must be SET=RATE_HZ"),
        ({"stimulate": ("type:grn=10,20", "type:relay=1,2,3")}, "has 2 rates, but another set has 3"),
        ({"stimulate": ("type:grn=10", "id:n0=20")}, "share neuron n0"),
        ({"stimulate": ("type:grn=20000",)}, "at most 10000 Hz"),
        ({"stimulate": ("type:gnr=10",)}, "has no type 'gnr'; did you mean"),
        ({"stimulate": ("shiu:sugar=10",)}, "has none of its 21 neurons"),
        ({"stimulate": ("shiu:suger=10",)}, "did you mean 'sugar'"),
        ({"seconds": 0.0}, "--seconds is 0, but must be above 0"),
        ({"seconds": 1e6}, "more than 2,000,000,000 steps"),
        ({"trials": 0}, "--trials is 0"),
        ({"seed": -1}, "--seed is -1"),
        ({"step_ms": 0.5}, "must be a whole number"),
        ({"screen": "type:relay"}, "--screen needs --readout"),
        ({"screen_by": "type"}, "--screen-by needs --screen"),
        ({"screen": "type:relay", "readout": ("type:motor",), "stimulate": ("type:grn=1,2",)}, "at one rate"),
        ({"screen": "active:none", "readout": ("type:motor",)}, "must be active:K"),
        ({"screen": "type:relay", "readout": ("type:motor",), "screen_by": "colour"}, "neuron or one of type, region"),
        ({"screen": "active:3", "readout": ("type:motor",), "stimulate": ("type:grn=0",)}, "no neuron spiked"),
    ],
)
def test_mistakes_are_named(wrong: dict[str, object], why: str) -> None:
    given = {"stimulate": ("type:grn=50",), "seconds": 0.05, "trials": 1, **wrong}
    with pytest.raises(ConfigError, match=why):
        simulate_spiking(chain(), SpikingExperiment(**given))  # type: ignore[arg-type]


def test_cautions_say_in_what_it_is_not_the_published_model() -> None:
    brain = chain()
    given = SpikingExperiment(("shiu:sugar=50",), seconds=0.05, trials=1)
    ids = [*SHIU_SETS["sugar"][:3], *brain.neurons["id"][3:]]
    notes = {"sign_rule": "fly-paper", "absent": "pairs across the midline", "unknown_transmitter_neurons": 4}
    changed = Connectome(
        "half", brain.indptr, brain.indices, brain.counts, brain.signs, brain.neurons.assign(id=ids), notes=notes
    )
    done = simulate_spiking(changed, given)
    text = "\n".join(done.cautions)
    for part in ("not the whole brain: 'half' lacks pairs across", "rule 'fly-paper'", "4 neurons have no known",
                 "shiu:sugar: 18 of 21 ids are not in", "one trial has no intervals"):  # fmt: skip
        assert part in text
    assert done.stimulated[0].neurons == 3 and len(done.stimulated[0].missing) == 18
    assert simulate_spiking(chain(), SpikingExperiment((f"{SUGAR}=50",), seconds=0.05, trials=2)).cautions == ()


CONFIG = """
[data]
sign_rule = "shiu"
[data.connectome]
edges = "edges.csv"
neurons = "neurons.csv"
"""


@pytest.fixture
def own_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    brain = chain()
    pre, post = brain.ids[brain.indices], brain.ids[brain.posts]
    pd.DataFrame({"pre": pre, "post": post, "synapses": brain.counts}).to_csv(tmp_path / "edges.csv", index=False)
    transmitter = np.where(brain.signs > 0, "ACH", "GABA")
    brain.neurons.assign(transmitter=transmitter).to_csv(tmp_path / "neurons.csv", index=False)
    (tmp_path / "mine.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_on_own_tables(connfit, own_tables: Path) -> None:  # noqa: F811
    ran = connfit(
        "simulate", "--model", "shiu", "--data", "mine.toml", "--stimulate", "type:grn=100", "--readout", "type:motor",
        "--screen", "active:4", "--seconds", "0.1", "--trials", "3",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    folder = own_tables / "simulations" / "mine_type-grn=100_screen-active-4"
    assert f"written to simulations/{folder.name}" in ran.out
    done = read_json(folder / "spiking.json", SpikingSimulation)
    assert done.data == "mine.toml" and done.screen is not None and done.cautions == ()
    names = {"spiking_raster", "spiking_active", "spiking_screen"}
    assert {path.stem for path in folder.glob("*.svg")} == {path.stem for path in folder.glob("*.png")} == names
    expected = simulate_spiking(
        chain(),
        SpikingExperiment(("type:grn=100",), readout=("type:motor",), screen="active:4", seconds=0.1, trials=3),
    )
    assert done.doses == expected.doses and done.screen == expected.screen
    again = connfit(
        "simulate", "--model", "shiu", "--data", "mine.toml", "--stimulate", "type:grn=50,100", "--out", str(folder),
        "--readout", "type:motor", "--seconds", "0.1", "--trials", "1",
    )  # fmt: skip
    assert again.code == 0, again.err
    assert not (folder / "screen.csv").exists() and (folder / "spiking_doses.svg").exists()
    assert "caution: one trial has no intervals" in again.out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "Give the folder of a run, or --model shiu and --data"),
        (("--data", "demo"), "--data is an option of --model"),
        (("somewhere", "--trials", "3"), "--trials is an option of --model"),
        (("--model", "shiu"), "--model shiu needs --data"),
        (("--model", "shiu", "--data", "mine.toml"), "nothing is stimulated"),
        (("--model", "shiu", "--data", "mine.toml", "--inject", "id:n0=1"), "--inject is for fitted models"),
        (("--model", "shiu", "--data", "mine.toml", "--input", "a=1"), "--input is for fitted models"),
        (("somewhere", "--model", "shiu", "--data", "mine.toml", "--stimulate", "id:n0=1"), "leave out somewhere"),
        (("--model", "shy", "--data", "mine.toml", "--stimulate", "id:n0=1"), "must be one of shiu"),
        (("--model", "shiu", "--data", "fly-738", "--stimulate", "id:n0=1"), "fly-738"),
        (("--model", "shiu", "--data", "turner-2021", "--stimulate", "id:n0=1"), "has recordings only"),
        (("--model", "shiu", "--data", "absent.toml", "--stimulate", "id:n0=1"), "absent.toml"),
    ],
)
def test_the_command_says_what_is_wrong(connfit, own_tables: Path, arguments: tuple[str, ...], why: str) -> None:  # noqa: F811
    assert why in connfit("simulate", *arguments).mistake()
    assert not (own_tables / "simulations").exists()
