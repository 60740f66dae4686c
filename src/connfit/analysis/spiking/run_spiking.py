"""A simulated experiment on a spiking network, and its files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from connfit._io import replacing_together, write_bytes, write_json
from connfit._system.claim import claimed
from connfit._version import __version__
from connfit.analysis.spiking.over_trials import compare_silenced, over_trials
from connfit.analysis.spiking.side_by_side_trials import MOST_SPIKES, Condition, Outcome, Trials, run_conditions
from connfit.analysis.spiking.spiking_experiment import Design, SpikingExperiment, screened_groups
from connfit.analysis.spiking.spiking_results import (
    FILE,
    ActiveNeuron,
    Dose,
    NeuronSet,
    Screen,
    Screened,
    SpikingSimulation,
    StimulatedSet,
)
from connfit.analysis.spiking.spiking_tables import neuron_rates, readout_rates, role_of, screen_rows, spike_times
from connfit.connectome import Connectome
from connfit.connectome.fingerprint import connectome_fingerprint
from connfit.models.spiking import SHIU, LeakyNeuron, SpikingNetwork

MODELS = ("shiu",)
"""Models that need no fit."""

LISTED = 50
"""Neurons that the JSON record lists; the table has all."""

WATCHED = 300
"""Neurons of each set whose spikes are kept with their times."""

SIGNS = ("shiu", "published")
"""Sign rules by which only GABA and glutamate inhibit."""

Progress = Callable[[str, int, int], None]
"""Told what is simulated, and how many trials of how many are done."""


def simulate_spiking(
    connectome: Connectome,
    experiment: SpikingExperiment,
    out: str | Path | None = None,
    *,
    data: str = "",
    neuron: LeakyNeuron = SHIU,
    progress: Progress | None = None,
) -> SpikingSimulation:
    """Simulate an experiment on a connectome as a spiking network without any fit.

    Parameters
    ----------
    out
        Folder for `spiking.json`, `readouts.csv`, `neuron_rates.csv` and `.parquet`, `spikes.parquet`, and `screen.csv`
        if there is one; None: nothing is written.
    data
        What named the connectome, for the record.
    neuron
        Constants of the neurons.

    Raises
    ------
    ConnfitError
        If a set or a number is wrong, or the connectome has no synapse counts.
    """
    neuron.stepped(experiment.step_ms)
    design = Design.of(experiment, connectome)
    network = SpikingNetwork.of(connectome, neuron)
    trials = Trials(experiment.trials, experiment.seed, experiment.steps, experiment.step_ms)
    members = [found.neurons for found in design.readouts]
    watched = _watched(design)
    told = progress or (lambda what, done, total: None)
    begin = time.perf_counter()
    doses = run_conditions(
        network, design.stimulated, [Condition(rates, design.silent) for rates in design.rates_hz], trials, members,
        watched=watched, progress=lambda done, total: told("doses", done, total),
    )  # fmt: skip
    assert doses.neurons_hz is not None
    screened: tuple[Screened, ...] = ()
    if experiment.screen is not None:
        groups = screened_groups(experiment, connectome, doses.neurons_hz[0])
        rates = design.rates_hz[0]
        silent = [Condition(rates, np.union1d(design.silent, neurons)) for _, neurons in groups]
        silenced = run_conditions(
            network, design.stimulated, silent, trials, members, every_neuron=False,
            progress=lambda done, total: told("screen", done, total),
        )  # fmt: skip
        screened = compare_silenced(connectome, groups, experiment.readout, doses, silenced)
    taken = time.perf_counter() - begin
    result = SpikingSimulation(
        connfit=__version__,
        model=MODELS[0],
        neuron=neuron,
        data=data or connectome.name,
        connectome=connectome.summary(),
        fingerprint=connectome_fingerprint(connectome),
        notes=dict(connectome.notes),
        step_ms=experiment.step_ms,
        seconds=trials.seconds,
        steps=trials.steps,
        trials=trials.count,
        seed=trials.seed,
        stimulated=tuple(
            StimulatedSet(found.name, len(found.neurons), rates, found.missing)
            for found, rates in zip(design.sets, design.set_rates_hz, strict=True)
        ),
        silenced=tuple(NeuronSet(found.name, len(found.neurons), found.missing) for found in design.silenced),
        readouts=tuple(NeuronSet(found.name, len(found.neurons), found.missing) for found in design.readouts),
        doses=tuple(_dose(design, doses, dose, connectome.n, trials.seconds) for dose in range(len(design.rates_hz))),
        active=_most_active(connectome, design, doses.neurons_hz),
        screen=Screen(experiment.screen, experiment.screen_by, screened) if experiment.screen is not None else None,
        recorded_spikes=len(doses.spikes),
        spikes_left_out=doses.spikes_left_out,
        seconds_taken=taken,
        cautions=_cautions(connectome, design, doses, trials.count),
    )
    if out is not None:
        _write(Path(out), result, connectome, design, doses, watched)
    return result


def _watched(design: Design) -> Int[np.ndarray, "W"]:
    """The first neurons of each set, for rasters."""
    sets = [found.neurons[:WATCHED] for found in (*design.readouts, *design.sets)]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *sets]))


def _dose(design: Design, doses: Outcome, dose: int, neurons: int, seconds: float) -> Dose:
    return Dose(
        tuple(rates[dose] for rates in design.set_rates_hz),
        tuple(over_trials(doses.readouts_hz[dose, :, q]) for q in range(len(design.readouts))),
        over_trials(doses.active[dose].astype(np.float64)),
        over_trials(doses.total[dose] / (neurons * seconds)),
    )


def _most_active(
    connectome: Connectome, design: Design, rates_hz: Float[np.ndarray, "D N"]
) -> tuple[ActiveNeuron, ...]:
    """Neurons that were not stimulated, the most active at any dose first."""
    highest = rates_hz.max(axis=0)
    highest[design.stimulated] = 0
    order = np.argsort(-highest, kind="stable")[:LISTED]
    return tuple(
        ActiveNeuron(
            **{key: str(connectome.neurons[key].iat[k]) for key in ("id", "type", "region", "side")},
            sign=int(connectome.signs[k]), role=role_of(design, k), rates_hz=tuple(map(float, rates_hz[:, k])),
        )
        for k in map(int, order) if highest[k] > 0
    )  # fmt: skip


def _cautions(connectome: Connectome, design: Design, doses: Outcome, trials: int) -> tuple[str, ...]:
    """In what this is not the published model, or not the whole brain."""
    notes, found = connectome.notes, []
    if absent := notes.get("absent"):
        found.append(f"not the whole brain: {connectome.name!r} lacks {absent}, whose synapses Shiu et al. count")
    elif int(notes.get("min_synapses") or 1) > 1:
        found.append(
            f"connections of fewer than {notes['min_synapses']} synapses are not in {connectome.name!r}; Shiu et al. "
            "count them"
        )
    rule = str(notes.get("sign_rule", "not stated"))
    if rule not in SIGNS:
        found.append(f"signs of neurons are by the rule {rule!r}; those of Shiu et al. are by 'shiu'")
    if unknown := int(notes.get("unknown_transmitter_neurons") or 0):
        found.append(
            f"{unknown:,} neurons have no known transmitter and are taken as {notes.get('unknown_transmitter_policy')}"
        )
    if connectome.electrical.any():
        found.append(f"{int(connectome.electrical.sum()):,} gap junctions are left out: the model has none")
    if notes.get("surrogate"):
        found.append("SURROGATE: this connectome is in part generated")
    for each in (*design.sets, *design.silenced, *design.readouts):
        if each.missing:
            found.append(
                f"{each.name}: {len(each.missing)} of {len(each.missing) + len(each.neurons)} ids are not in the "
                "connectome (they are of FlyWire snapshot 630): " + ", ".join(each.missing[:5])
            )
    if doses.spikes_left_out:
        found.append(f"spikes.parquet has the first {MOST_SPIKES:,} spikes; rates are of all")
    if trials == 1:
        found.append("one trial has no intervals: give --trials")
    return tuple(found)


def _write(
    out: Path, result: SpikingSimulation, connectome: Connectome, design: Design, doses: Outcome,
    watched: Int[np.ndarray, "W"],
) -> None:  # fmt: skip
    rates = neuron_rates(connectome, design, doses)
    names = ["readouts.csv", "neuron_rates.csv", "neuron_rates.parquet", "spikes.parquet"]
    names += ["screen.csv"] if result.screen else []
    with claimed(out):
        (out / "screen.csv").unlink(missing_ok=True)
        with replacing_together(*(out / name for name in (*names, FILE))) as paths:
            write_bytes(paths[0], readout_rates(design, doses).to_csv(index=False).encode())
            write_bytes(paths[1], rates.to_csv(index=False).encode())
            rates.to_parquet(paths[2], index=False)
            spike_times(connectome, design, doses, watched, result.step_ms).to_parquet(paths[3], index=False)
            if result.screen:
                write_bytes(paths[4], screen_rows(result.screen).to_csv(index=False).encode())
            write_json(paths[-1], result)
