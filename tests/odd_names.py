"""A small fit whose recordings and units have names that files, pages and terminals find hard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from small import OPTIONS, raw_movies, teacher

import connfit as cf
from connfit.connectome import Connectome
from connfit.evaluation.evaluate_run import evaluate_run
from connfit.recordings import Recording

UNITS = ("$a_1$", "b/../c", "d\x1b[31mred", "é Ω 神", '"e", f', "=1+1", "<b>&amp;</b>", "n7")
RECORDINGS = ("movie/1", "movie $2")


def odd_brain() -> Connectome:
    """The teacher's brain with odd ids of the neurons that are recorded."""
    brain = teacher()[0]
    ids = [*UNITS, *brain.neurons["id"][len(UNITS) :]]
    return replace(brain, neurons=brain.neurons.assign(id=ids))


def odd_movies() -> list[Recording]:
    """The teacher's recordings with odd names, of which the second lacks a unit and has holes."""
    named = [replace(movie, name=name, units=UNITS) for movie, name in zip(raw_movies(), RECORDINGS, strict=True)]
    fewer = named[1].select_units(UNITS[1:])
    mask = fewer.mask.copy()
    mask[20:60:7, 2] = mask[150:170, 0] = False
    return [named[0], replace(fewer, mask=mask)]


def odd_fit(**options: object) -> cf.Fit:
    """A quick fit of them."""
    return cf.fit(odd_brain(), odd_movies(), **{**OPTIONS, "epochs": 1, "free_run_epochs": 0, **options})


def fitted_run(out: Path) -> Path:
    """Fit, save and evaluate."""
    fit = odd_fit(state_forcing=0.5)
    fit.save(out)
    evaluate_run(fit, out)
    return out
