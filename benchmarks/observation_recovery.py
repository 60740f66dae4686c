"""What an indicator hides: weights and time constants recovered from calcium, with and without an observation model.

    python benchmarks/observation_recovery.py [--decays 0.5 1 2] [--rates 1.2 3] [--noise 0.1]

A teacher of known parameters plays rates; its calcium is what an indicator of order 1 makes of them, plus measurement
noise. Students of the same wiring are fitted to the rates, to calcium as if it were rates, and to calcium with an
indicator that starts from half or all of the true decay and is learned. One JSON object a line: R2 of weights and of
the logarithms of time constants, median ratio of time constants to the truth, and the decay that was found.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from connfit.analysis.recovery.recovery_metrics import agreement
from connfit.analysis.recovery.student import BOUNDS_FRAMES, VALIDATION_FRAMES, Student, Training, make_student
from connfit.datasets.synthetic.known_teacher import FRAME_RATE, KnownTeacher, TeacherSettings
from connfit.datasets.synthetic.teacher import measurement_noise
from connfit.models import Readout
from connfit.models.cells.rate import Rate
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.observation import DECAY, observe
from connfit.models.observation.likelihood import Likelihood


def calcium_of(rates: np.ndarray, decay_frames: float) -> np.ndarray:
    """Filter rates as an indicator of order 1 does, from their first frame on."""
    keeps, now, found = np.exp(-1 / decay_frames), rates[0], np.empty_like(rates)
    for frame, rate in enumerate(rates):
        now = keeps * now + (1 - keeps) * rate
        found[frame] = now
    return found


def seen_through(student: Student, teacher: KnownTeacher, decay_s: float, phi: float, likelihood: str) -> Student:
    """Return the student with an indicator, and gains of each neuron and state that start from φ."""
    low, high = (bound / FRAME_RATE for bound in BOUNDS_FRAMES)
    given = ModelConditions(
        connectome=teacher.connectome, readout=_readout(student, teacher), step_s=student.cohort.step_s, drive="none",
        bounds_s=(low, high), state_forcing=phi, own_gains=True,
        likelihood=Likelihood(likelihood) if likelihood else None,
    )  # fmt: skip
    indicator = observe(Rate(), "order-1", step_s=student.cohort.step_s, decay_s=decay_s, bounds=(0.2, 5.0))
    model = ConnectomeModel.wire(given, indicator)
    params = model.with_gains({**student.params, **model.own_start()})
    return replace(student, model=model, params=params, trained=model.groups)


def _readout(student: Student, teacher: KnownTeacher) -> Readout:
    return Readout.by_name(teacher.connectome, student.cohort.units, column="id")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=100)
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--learning-rate", type=float, default=2e-2)
    parser.add_argument("--decays", type=float, nargs="*", default=[0.5, 1.0, 2.0], help="of the indicator, in seconds")
    parser.add_argument("--rates", type=float, nargs="*", default=[1.2, 3.0], help="frames per second")
    parser.add_argument("--noise", type=float, default=0.0, help="in standard deviations of each neuron's calcium")
    parser.add_argument("--phi", type=float, default=1.0, help="that gains start from")
    parser.add_argument("--start", type=float, default=1.5, help="start of the indicator's decay, times the truth")
    parser.add_argument("--likelihood", default="")
    parser.add_argument("--only", nargs="*", default=["rates", "without", "with"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    teacher = KnownTeacher.draw(TeacherSettings(neurons=args.neurons), args.seed)
    rates = teacher.play(args.frames + VALIDATION_FRAMES, process_noise=0.5)
    recorded = np.ones(args.neurons, bool)
    training = Training(updates=args.updates, learning_rate=args.learning_rate)

    def report(kind: str, student: Student, **said: object) -> None:
        began = time.perf_counter()
        fitted = student.fit(training, seed=args.seed)
        own = ~teacher.sensory
        found = np.exp(np.asarray(fitted.params["log_time_constants"], np.float64))
        weights = np.asarray(student.model.magnitudes(fitted.params), np.float64)
        row = {
            "benchmark": "observation_recovery", "fit": kind, **said, "noise": args.noise,
            "weights_r2": agreement(teacher.weights, weights).r2,
            "time_constants_r2": agreement(teacher.time_constants[own], found[own], log=True).r2,
            "time_constants_ratio": float(np.median(found[own] / teacher.time_constants[own])),
            "validation_skill": max(row["validation_skill"] for row in fitted.history),
        }  # fmt: skip
        if f"log_{DECAY}" in fitted.params:
            row["decay_frames_found"] = float(np.exp(fitted.params[f"log_{DECAY}"][0])) * FRAME_RATE
            gains = np.asarray(fitted.params["innovation_gains"])
            row["gains"] = [float(jnp.median(gain)) for gain in gains]
        print(json.dumps({**row, "seconds": time.perf_counter() - began}), flush=True)

    def noisy(values: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng((args.seed, 77))
        return values + measurement_noise(values, np.full(args.neurons, args.noise), rng)

    if "rates" in args.only:
        report("rates", make_student(teacher, noisy(rates), recorded, state_forcing=min(args.phi, 1.0)))
    for rate in args.rates:
        for decay in args.decays:
            measured = noisy(calcium_of(rates, decay * rate))
            said = {"rate_hz": rate, "decay_s": decay, "decay_frames": decay * rate}
            plain = make_student(teacher, measured, recorded, state_forcing=min(args.phi, 1.0))
            if "without" in args.only:
                report("calcium, no indicator", plain, **said)
            if "with" in args.only:
                start = args.start * decay * rate / FRAME_RATE
                report("calcium, indicator", seen_through(plain, teacher, start, args.phi, args.likelihood), **said)


if __name__ == "__main__":
    main()
