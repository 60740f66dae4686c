"""Fit a spiking teacher of 2,000 neurons, also on rewired wiring: does a spiking fit learn, and from the wiring?

    python benchmarks/spiking_teacher.py               # two fits, some minutes each on two cores
    python benchmarks/spiking_teacher.py --ceilings    # what the teacher's own parameters would reach, without a fit
    python benchmarks/spiking_teacher.py --epochs 3    # a look
    python benchmarks/spiking_teacher.py --epochs 60 --window 200 --poisson 1000:0.8
    python benchmarks/spiking_teacher.py --poisson 100:2 --poisson 1000:0.6    # and external events, in Hz and mV

The teacher is a SURROGATE: leaky integrate-and-fire neurons of 20 types in steps of 1 ms with weights of their own, a
current, noise, and odours that two types smell; `examples/tutorials/make_files.py` steps it, and nothing of connfit.
Recorded are the mean rates of its types and the odours. A student knows wiring and signs, not the weights, the current
or the noise.

Nothing that units show reaches a student's neurons, so that errors of training frames, which the evaluation adds to
free runs, drive nothing. Printed beside them are free runs to which nothing is added: of a student with external events
16, each with events of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

import connfit as cf
from connfit.evaluation.free_run import NO_NOISE, free_runs
from connfit.evaluation.metrics import fc_corr, functional_connectivity
from connfit.evaluation.residual_noise import MIN_RESIDUALS, Residuals, draw_noise
from connfit.recordings import Recording

sys.path.append(str(Path(__file__).resolve().parents[1] / "examples" / "tutorials"))

from make_files import STEPS, make_odours, spike

NEURONS, TYPES, DEGREE, FRAMES = 2_000, 20, 40, 600
SMELLS = {"apple": 0, "vinegar": 9}
"""Odours, and the types that smell them."""

INHIBITORY = (2, 5, 8, 13, 17)
QUANTUM_MV = 0.275


def wiring(rng: np.random.Generator) -> tuple[pd.DataFrame, sp.csr_array]:
    """Neurons, and counts of synapses [postsynaptic, presynaptic]: a third of the pairs of types is connected."""
    of_type = np.arange(NEURONS) % TYPES
    table = pd.DataFrame({"id": [f"n{k:04d}" for k in range(NEURONS)], "type": [f"type{k}" for k in of_type]})
    table["transmitter"] = np.where(np.isin(of_type, INHIBITORY), "GABA", "acetylcholine")
    meet = rng.random((TYPES, TYPES)) < 1 / 3
    np.fill_diagonal(meet, False)
    sources = [np.flatnonzero(meet[k][of_type]) for k in range(TYPES)]
    chosen = [rng.choice(of, min(DEGREE, len(of)), replace=False) for of in (sources[k] for k in of_type)]
    rows = np.repeat(np.arange(NEURONS), [len(of) for of in chosen])
    counts = sp.csr_array((rng.integers(1, 7, len(rows)), (rows, np.concatenate(chosen))), shape=(NEURONS, NEURONS))
    return table, counts


@dataclass(frozen=True)
class Teacher:
    """Parameters of the teacher, and what it smells."""

    weights: sp.csc_array
    current: np.ndarray
    odours: np.ndarray

    @classmethod
    def make(cls, rng: np.random.Generator, table: pd.DataFrame, counts: sp.csr_array) -> Teacher:
        """Draw weights around the counts, odours and a current."""
        weights = counts.astype(np.float64)
        weights.data *= QUANTUM_MV * rng.lognormal(0, 0.5, weights.nnz)
        weights = (weights @ sp.diags_array(np.where(table["transmitter"] == "GABA", -1.0, 1.0))).tocsc()
        odours = make_odours(FRAMES, rng)
        return cls(weights, rng.normal(1.25, 0.2, NEURONS), odours)

    def rates(self, rng: np.random.Generator | Silence) -> np.ndarray:
        """Return [frame, type] rates at 10 Hz, with noise of a generator."""
        of_type = np.arange(NEURONS) % TYPES
        smells = 0.9 * np.column_stack([of_type == k for k in SMELLS.values()])
        spikes = spike(lambda spiking: self.weights @ spiking, self.current, smells, self.odours, rng)
        return np.column_stack([spikes[:, of_type == k].mean(axis=1) for k in range(TYPES)]) / (STEPS / 1000)


class Silence:
    """Noise of a teacher without noise."""

    def normal(self, size: int) -> np.ndarray:
        """Return zeros."""
        return np.zeros(size)


def agreement(recording: Recording, part: str, runs: np.ndarray) -> float:
    """Return the correlation of the functional connectivity of a part with the mean over [run, frame, unit]."""
    mean = np.mean([functional_connectivity(run) for run in runs], axis=0)
    found = fc_corr(functional_connectivity(recording.part(part)[0]), mean).value
    return np.nan if found is None else found


def print_ceilings(teacher: Teacher, recording: Recording) -> None:
    """Print what the teacher's own parameters reach, with other noise, without, and with errors of training frames."""
    split = recording.split()
    train, parts = split.require_parts()["train"], split.require_parts()
    with_noise = np.stack([teacher.rates(np.random.default_rng(seed)) for seed in range(4)])
    quiet = teacher.rates(Silence())
    errors = (split.values - quiet)[train]
    for part in ("validation", "test"):
        block = parts[part]
        noise = np.asarray(draw_noise(errors - errors.mean(axis=0), 16, block.stop - block.start, part))
        print(
            f"{part}, FC of the teacher itself: with other noise {agreement(split, part, with_noise[:, block]):.3f} "
            f"(one draw {agreement(split, part, with_noise[:1, block]):.3f}), without noise "
            f"{agreement(split, part, quiet[None, block]):.3f}, and with its errors of training frames added "
            f"{agreement(split, part, quiet[block] + noise):.3f}"
        )  # fmt: skip
    line = fc_corr(*(functional_connectivity(split.part(part)[0]) for part in ("train", "test"))).value
    print(f"the data's own line, training against test part: {line:.3f}", flush=True)


def own_runs(fit: cf.Fit, part: str) -> str:
    """Say how far free runs agree to which nothing is added: the mean of 16, each with events of its own, and one."""
    recording = fit.cohort.recordings[0]
    nothing = Residuals(np.zeros((MIN_RESIDUALS, len(recording.units))), NO_NOISE, 0)
    runs, _ = free_runs(fit.forecaster(), recording, part, nothing, cf.EvaluateConfig())
    first = agreement(recording, part, np.asarray(runs.run)[None])
    return f"{runs.scores.fc_corr:.3f} (the first {first:.3f})"


def options_of(text: str) -> tuple[str, dict[str, float]]:
    """Return a label and options of the cell for events that are given as HZ:MV."""
    hz, mv = map(float, text.split(":"))
    return f"events of {mv:g} mV at {hz:g} Hz", {"poisson_hz": hz, "poisson_weight": mv}


def main() -> None:
    """Print both fits beside the baselines; fail where the fit does not beat what it must."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--window", type=int, default=STEPS, help="steps of a window; a frame has 100")
    parser.add_argument("--width", type=float, default=7.0, help="of the surrogate, in mV")
    parser.add_argument("--seed", type=int, default=5, help="of the teacher")
    parser.add_argument("--ceilings", action="store_true", help="no fit: what the teacher's own parameters reach")
    parser.add_argument(
        "--poisson", action="append", default=[], metavar="HZ:MV",
        help="fit with such events, too; which of these fits is compared is chosen by its validation part",
    )  # fmt: skip
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    table, counts = wiring(rng)
    teacher = Teacher.make(rng, table, counts)
    rates = dict(zip((f"type{k}" for k in range(TYPES)), teacher.rates(rng).T, strict=True))
    odours = dict(zip(SMELLS, teacher.odours.T, strict=True))
    movie = pd.DataFrame({"time_s": np.arange(FRAMES) * STEPS / 1000, **rates, **odours}).round(5)
    with tempfile.TemporaryDirectory() as name:
        folder, pairs = Path(name), counts.tocoo()
        ids = table["id"].to_numpy()
        edges = pd.DataFrame({"pre": ids[pairs.col], "post": ids[pairs.row], "synapses": pairs.data})
        for file, frame in (("edges.csv", edges), ("neurons.csv", table), ("animal.csv", movie)):
            frame.to_csv(folder / file, index=False)
        brain = cf.connectome_from_tables("teacher", folder / "edges.csv", folder / "neurons.csv", sign_rule="shiu")
        recording = cf.read_recording(folder / "animal.csv", inputs=tuple(SMELLS), kind="rate")
    mean = movie[[f"type{k}" for k in range(TYPES)]].to_numpy().mean()
    print(f"SURROGATE teacher: {NEURONS:,} neurons, {brain.m:,} connections, {FRAMES} frames, {mean:.1f} Hz on average")
    if options.ceilings:
        print_ceilings(teacher, recording)
        return
    events = {"no events": {}, **dict(map(options_of, options.poisson))}

    def fitted(label: str, of: cf.Connectome, given: dict[str, float]) -> cf.Evaluation:
        began = time.perf_counter()
        fit = cf.fit(
            of, recording, epochs=options.epochs, time_constant_frames=0.5, progress=False, left_out_units=0,
            cell="lif", substeps=STEPS, drive="none", readout="types", preprocess=(), preset="d-rtrl",
            channels=tuple(SMELLS), exogenous=True, targets={k: f"type=type{v}" for k, v in SMELLS.items()},
            cell_options={**given, "surrogate_width": options.width}, window=options.window,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        evaluation = cf.evaluate(fit)
        print(f"\n{label}: {options.epochs} epochs in {seconds:.0f} s\n{evaluation.table().round(3).to_string()}")
        for part in ("validation", "test"):
            scores = evaluation.parts[part]
            quiet = scores.free_run_deterministic
            print(
                f"{part}: skill {scores.skill(1):.3f}, FC of free runs {scores.free_run.fc_corr:.3f}, "
                f"without residuals {np.nan if quiet is None else quiet.fc_corr:.3f}, "
                f"16 runs without residuals {own_runs(fit, part)}", flush=True,
            )  # fmt: skip
        return evaluation

    found = {label: fitted(label, brain, given) for label, given in events.items()}
    chosen = max(events, key=lambda label: found[label].parts["validation"].skill(1))
    print(f"\nchosen by validation: {chosen}")
    found["wiring"] = found[chosen]
    found["rewired"] = fitted("rewired", cf.make_null(brain, "rewire_degrees", seed=1), events[chosen])
    ours, null = (found[name].parts["test"] for name in ("wiring", "rewired"))
    start = found["wiring"].at_initialisation["test"]
    line = found["wiring"].data.fc_corr_train_vs_test
    checks = {
        "start": (ours.skill(1), start.skill(1)),
        "persistence": (ours.skill(1), 0.0),
        "rewired wiring": (ours.skill(1), null.skill(1)),
        "functional connectivity of free runs, the data's own": (ours.free_run.fc_corr, line),
    }
    print()
    for name, (mine, other) in checks.items():
        print(f"{name}: {mine:.3f} against {other:.3f}: {'above' if mine > other else 'NOT ABOVE'}")
    sys.exit(not all(mine > other for mine, other in checks.values()))


if __name__ == "__main__":
    main()
