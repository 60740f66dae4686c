"""Test whether a fit ranks the real wiring above null connectomes when every neuron of a known teacher is recorded.

    python benchmarks/rank_wiring.py                 # 500 neurons, 1,000 frames, 3 seeds: some minutes
    python benchmarks/rank_wiring.py --strengths free --frames 4000

Recordings of regions cannot show what averages out within a region (region_coupling.py). Here nothing averages:
students of `connfit recover` are given all neurons of a teacher (SURROGATE) and either the true wiring or a null
connectome, and are trained alike. With one gain per neuron the synapse counts remain a student's only knowledge of
its relative weights; with free weights they are only a start.

One JSON object per line: skill over persistence on 600 test frames, and the true wiring's minus the null's with a 95 %
interval from a paired bootstrap over blocks of time and seeds (`connfit.evaluation.intervals.paired_difference`).
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from connfit.analysis.recovery.student import VALIDATION_FRAMES, Training, make_student
from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS, make_null
from connfit.datasets.synthetic.known_teacher import KnownTeacher, TeacherSettings
from connfit.errors import ConnfitError
from connfit.evaluation.intervals import paired_difference
from connfit.evaluation.squared_errors import PredictionErrors

TEST_FRAMES, SETTLE_FRAMES = 600, 50


def errors_of(teacher: KnownTeacher, wired: Connectome, frames: int, strengths: str, updates: int) -> PredictionErrors:
    """Fit a student that believes in a wiring; return its errors one frame ahead over all predicted neurons."""
    rates = teacher.play(frames + VALIDATION_FRAMES + TEST_FRAMES, process_noise=0.3)
    learned, test = rates[: frames + VALIDATION_FRAMES], rates[frames + VALIDATION_FRAMES :]
    recorded = np.ones(teacher.connectome.n, bool)
    student = make_student(teacher, learned, recorded, strengths=strengths, connectome=wired)
    found = student.fit(Training(updates=updates), seed=teacher.seed)
    predicted = student.predict(found.params, test)[SETTLE_FRAMES:]
    scored = ~teacher.sensory
    truth, last = test[SETTLE_FRAMES + 1 :, scored], test[SETTLE_FRAMES:-1, scored]
    size = np.diff(learned[:, scored], axis=0).var(axis=0)
    return PredictionErrors(
        recording="teacher",
        part="test",
        frames={1: np.arange(len(truth))},
        squared_error={1: ((predicted[:, scored] - truth) ** 2 / size).sum(axis=1)},
        reference_error={1: ((last - truth) ** 2 / size).sum(axis=1)},
        entries={1: np.full(len(truth), int(scored.sum()))},
    )


def main() -> None:
    """Print one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=500)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3, help="teachers, each with its own wiring and student")
    parser.add_argument("--strengths", default="gain_per_neuron", choices=("free", "gain_per_neuron"))
    parser.add_argument("--updates", type=int, default=600)
    options = parser.parse_args()
    settings = TeacherSettings(neurons=options.neurons)
    teachers = [KnownTeacher.draw(settings, seed) for seed in range(options.seeds)]
    about = {"benchmark": "rank_wiring", "surrogate": True, **vars(options)}

    def fit_all(name: str | None) -> list[PredictionErrors]:
        return [
            errors_of(
                teacher,
                teacher.connectome if name is None else make_null(teacher.connectome, name, teacher.seed),
                options.frames,
                options.strengths,
                options.updates,
            )
            for teacher in teachers
        ]

    real = fit_all(None)
    skills = [one.skill(1) for one in real]
    print(json.dumps({**about, "wiring": "real", "skill": float(np.mean(skills)), "by_seed": skills}), flush=True)
    for name in NULLS:
        try:
            null = fit_all(name)
        except ConnfitError as error:
            print(json.dumps({**about, "wiring": name, "not_fitted": str(error)}), flush=True)
            continue
        # Every teacher has frames of its own, so that seeds are recordings here, not repetitions.
        difference = paired_difference([real], [null], 1)
        print(
            json.dumps(
                {
                    **about,
                    "wiring": name,
                    "skill": float(np.mean([one.skill(1) for one in null])),
                    "real_minus_null": [difference.value, difference.low, difference.high],
                    "excludes_zero": difference.excludes_zero,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
