"""What an indicator hides: weights and time constants recovered from calcium, with and without an observation model.

    python benchmarks/observation_recovery.py [--decays 0.5 2] [--rates 1.2 3] [--noise 0 0.1] [--seeds 0 1 2] > found
    python benchmarks/observation_recovery.py --table found

A teacher of known parameters plays rates; its calcium is what an indicator of order 1 makes of them, plus measurement
noise. Students of the same wiring are fitted to the rates, to calcium as if it were rates, and to calcium with an
indicator that starts from `--start` times the true decay and is learned. One JSON object a line: R2 of weights and of
the logarithms of time constants, median ratio of time constants to the truth, and the decay that was found. `--table`
prints such lines as a table: means over seeds, and the lowest in brackets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from connfit.analysis.recovery.recovery_metrics import agreement
from connfit.analysis.recovery.student import BOUNDS_FRAMES, VALIDATION_FRAMES, Student, Training, make_student
from connfit.datasets.synthetic.known_teacher import FRAME_RATE, KnownTeacher, TeacherSettings
from connfit.datasets.synthetic.teacher import measurement_noise
from connfit.models import Readout
from connfit.models.cells.rate import Rate
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.observation import DECAY, observe

RATES, WITHOUT, WITH = "rates", "without", "with"
"""Fits to rates, to calcium as if it were rates, and to calcium with an observation model."""


def calcium_of(rates: np.ndarray, decay_frames: float) -> np.ndarray:
    """Filter rates as an indicator of order 1 does, from their first frame on."""
    keeps, now, found = np.exp(-1 / decay_frames), rates[0], np.empty_like(rates)
    for frame, rate in enumerate(rates):
        now = keeps * now + (1 - keeps) * rate
        found[frame] = now
    return found


def seen_through(student: Student, teacher: KnownTeacher, decay_s: float, phi: float) -> Student:
    """Return the student with an indicator, and gains of each neuron and state that start from φ."""
    low, high = (bound / FRAME_RATE for bound in BOUNDS_FRAMES)
    given = ModelConditions(
        connectome=teacher.connectome, readout=Readout.by_name(teacher.connectome, student.cohort.units, column="id"),
        step_s=student.cohort.step_s, drive="none", bounds_s=(low, high), state_forcing=phi, own_gains=True,
    )  # fmt: skip
    indicator = observe(Rate(), "order-1", step_s=student.cohort.step_s, decay_s=decay_s, bounds=(0.2, 5.0))
    model = ConnectomeModel.wire(given, indicator)
    params = model.with_gains({**student.params, **model.own_start()})
    return replace(student, model=model, params=params, trained=model.groups)


def run(args: argparse.Namespace, seed: int, noise: float) -> None:
    """Fit all students of one teacher, and print a line for each."""
    teacher = KnownTeacher.draw(TeacherSettings(neurons=args.neurons), seed)
    rates = teacher.play(args.frames + VALIDATION_FRAMES, process_noise=0.5)
    recorded = np.ones(args.neurons, bool)
    training = Training(updates=args.updates, learning_rate=args.learning_rate)
    phi = 1.0 if noise == 0 else args.noisy_phi

    def report(kind: str, student: Student, **said: object) -> None:
        fitted = student.fit(training, seed=seed)
        own = ~teacher.sensory
        found = np.exp(np.asarray(fitted.params["log_time_constants"], np.float64))
        weights = np.asarray(student.model.magnitudes(fitted.params), np.float64)
        row = {
            "benchmark": "observation_recovery", "fit": kind, **said, "noise": noise, "seed": seed,
            "neurons": args.neurons, "frames": args.frames, "updates": args.updates,
            "weights_r2": agreement(teacher.weights, weights).r2,
            "time_constants_r2": agreement(teacher.time_constants[own], found[own], log=True).r2,
            "time_constants_ratio": float(np.median(found[own] / teacher.time_constants[own])),
            "validation_skill": max(row["validation_skill"] for row in fitted.history),
        }  # fmt: skip
        if f"log_{DECAY}" in fitted.params:
            row["decay_frames_found"] = float(np.exp(fitted.params[f"log_{DECAY}"][0])) * FRAME_RATE
            row["gains"] = [float(np.median(gain)) for gain in np.asarray(fitted.params["innovation_gains"])]
        print(json.dumps(row), flush=True)

    def noisy(values: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng((seed, 77))
        return values + measurement_noise(values, np.full(args.neurons, noise), rng)

    if RATES in args.only:
        report(RATES, make_student(teacher, noisy(rates), recorded, state_forcing=phi))
    for rate in args.rates:
        for decay in args.decays:
            measured = noisy(calcium_of(rates, decay * rate))
            said = {"rate_hz": rate, "decay_s": decay, "decay_frames": decay * rate}
            plain = make_student(teacher, measured, recorded, state_forcing=phi)
            if WITHOUT in args.only:
                report(WITHOUT, plain, **said)
            if WITH in args.only:
                report(WITH, seen_through(plain, teacher, args.start * decay * rate / FRAME_RATE, phi), **said)


def table(files: Sequence[Path]) -> str:
    """Write the lines of earlier runs as a table in Markdown: mean (lowest) over seeds of both R2, mean ratio."""
    rows: dict[tuple, dict[str, list[dict]]] = {}
    for line in (line for file in files for line in file.read_text().splitlines() if line.startswith("{")):
        row = json.loads(line)
        rows.setdefault((row["noise"], row.get("rate_hz"), row.get("decay_s")), {}).setdefault(row["fit"], []).append(
            row
        )

    def cell(found: list[dict]) -> str:
        if not found:
            return ""
        r2 = [[row[name] for row in found] for name in ("weights_r2", "time_constants_r2")]
        ratio = np.mean([row["time_constants_ratio"] for row in found])
        return " / ".join(f"{np.mean(each):.3f} ({min(each):.3f})" for each in r2) + f"; {ratio:.2f}"

    lines = [f"| Indicator, noise | {RATES} | {WITHOUT} | {WITH} | decay found / true | teachers |", "| --- " * 6 + "|"]
    for (noise, rate, decay), fits in sorted(rows.items(), key=lambda each: [x or 0 for x in each[0]]):
        seen = "none" if rate is None else f"{decay:g} s at {rate:g} Hz"
        ratios = [f"{row['decay_frames_found'] / row['decay_frames']:.2f}" for row in fits.get(WITH, [])]
        cells = [cell(fits.get(kind, [])) for kind in (RATES, WITHOUT, WITH)]
        teachers = str(len({row["seed"] for kind in fits.values() for row in kind}))
        first = "| " + seen + f", {noise:g} SD" * bool(noise)
        lines.append(" | ".join([first, *cells, ", ".join(ratios), teachers]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the fits, or print the table of earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=60)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--updates", type=int, default=2400)
    parser.add_argument("--learning-rate", type=float, default=2e-2)
    parser.add_argument("--decays", type=float, nargs="*", default=[0.5, 2.0], help="of the indicator, in seconds")
    parser.add_argument("--rates", type=float, nargs="*", default=[1.2, 3.0], help="frames per second")
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.1], help="in SD of each neuron's calcium")
    parser.add_argument(
        "--noisy-phi", type=float, default=0.7, help="that gains start from where there is noise, not 1"
    )
    parser.add_argument("--start", type=float, default=1.5, help="start of the indicator's decay, times the truth")
    parser.add_argument("--only", nargs="*", default=[RATES, WITHOUT, WITH], choices=[RATES, WITHOUT, WITH])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--table", type=Path, nargs="*", help="print the table of these files and fit nothing")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for noise in args.noise:
        for seed in args.seeds:
            run(args, seed, noise)


if __name__ == "__main__":
    main()
