"""Fits of one configuration with several seeds: what the recordings leave open is what they disagree about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from connfit import config as configuration
from connfit._io import present, read_json
from connfit._system.paths import user_path
from connfit.connectome import Connectome
from connfit.errors import ConfigError, DataError, first_ten
from connfit.evaluation.study.rows import CONNECTOME
from connfit.evaluation.study.seed_result import SCORES, SeedResult
from connfit.evaluation.study.study import FILE as STUDY
from connfit.recordings.cohort import Cohort
from connfit.training.fitted import Fit
from connfit.training.runs import load_fit

FREE = ("seed", "data.saved", "train.checkpoint_every", "train.check_memory", "train.devices")
"""Options in which members may differ."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Fits that differ in their seed alone.

    Parameters
    ----------
    members
        Two or more.
    names
        Of each: its run directory, or its seed.

    Raises
    ------
    ConfigError
        If there are fewer than two, they differ in more than the seed, were fitted to other data, or all agree.
    """

    members: tuple[Fit, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise ConfigError(
                "one fit has nobody to disagree with: give the runs of two or more seeds of one configuration "
                "(`connfit fit ... --seed 1`), or a run whose study has several"
            )
        first = self.members[0].require_job()
        for name, other in zip(self.names[1:], self.members[1:], strict=True):
            job = other.require_job()
            options = (configuration.to_dict(each.config) for each in (first, job))
            different = [key for key, *_ in configuration.differences(*options) if key not in FREE]
            if different:
                raise ConfigError(f"{name} was not made like {self.names[0]}: {first_ten(different)} differ")
            if job.fingerprint() != first.fingerprint():
                raise ConfigError(f"{name} was fitted to other data than {self.names[0]}")
        if all(_same(self.members[0], other) for other in self.members[1:]):
            raise ConfigError(
                "all fits have the same parameters, so that they disagree about nothing: give each its own `seed`, "
                "and let starts differ (model.weight_spread above 0)"
            )

    @classmethod
    def of(cls, fits: Sequence[Fit]) -> Ensemble:
        """Take fits that are in memory."""
        return cls(tuple(fits), tuple(f"seed {fit.require_job().config.seed}" for fit in fits))

    @classmethod
    def load(cls, folders: Sequence[str | Path]) -> Ensemble:
        """Load run directories; a single one with a study stands for the seeds of its connectome model.

        Raises
        ------
        DataError
            If a directory holds no finished run.
        """
        paths = [user_path(folder) for folder in folders]
        if len(paths) == 1 and present(paths[0] / STUDY):
            paths = _seeds_of_study(paths[0])
        real = [path.resolve() for path in paths]
        if twice := [str(path) for path, place in zip(paths, real, strict=True) if real.count(place) > 1]:
            raise ConfigError(f"the same run is given twice: {' and '.join(map(repr, twice))}")
        return cls(tuple(map(load_fit, paths)), tuple(map(str, paths)))

    @property
    def connectome(self) -> Connectome:
        """The wiring of all of them."""
        return self.members[0].connectome

    @property
    def cohort(self) -> Cohort:
        """The recordings that all of them were fitted to."""
        return self.members[0].cohort

    @property
    def recorded(self) -> Bool[np.ndarray, "N"]:
        """Neurons that a unit reads alone: only these are recorded by themselves, others as part of a mean."""
        matrix = self.members[0].require_job().readout.matrix
        alone = np.flatnonzero(np.diff(matrix.indptr) == 1)
        recorded = np.zeros(self.connectome.n, bool)
        recorded[matrix.indices[matrix.indptr[alone]]] = True
        return recorded


def _same(one: Fit, other: Fit) -> bool:
    return all(np.array_equal(np.asarray(value), np.asarray(other.params[key])) for key, value in one.params.items())


def _seeds_of_study(folder: Path) -> list[Path]:
    """Runs of the connectome model of a study, by seed."""
    seeds: dict[int, Path] = {}
    for path in (folder / STUDY).parent.glob(f"runs/{CONNECTOME}-seed*/{SCORES}"):
        result = read_json(path, SeedResult)
        # The seed of the studied run is that run itself.
        seeds[result.seed] = path.parent if present(path.parent / "parameters.npz") else folder
    if not seeds:
        raise DataError("its study has no fit of the connectome model", path=folder, fix="Give several runs")
    return [seeds[seed] for seed in sorted(seeds)]
