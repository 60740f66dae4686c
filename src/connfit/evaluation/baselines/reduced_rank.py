"""Reduced-rank regression of all units on all units' past."""

from __future__ import annotations

from dataclasses import dataclass

from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.around_own import AroundOwn, Base, Kind


@dataclass(frozen=True, eq=False)
class ReducedRank(AroundOwn):
    """Reduced-rank regression of all units on all units' past: few combinations of the past predict all.

    As `VarAroundAr`, with coefficients of low rank and a ridge penalty, around the mean, around persistence or around
    each unit's own autoregression, whichever is best on validation. Source: Izenman (1975) J. Multivar. Anal. 5:248
    (identity as weight, on units of variance 1); with a ridge penalty, Mukherjee & Zhu (2011) Stat. Anal. Data Min.
    4:612. Missing values as in `VarRidge`.
    """

    name: str = "reduced_rank"
    kind = Kind("a reduced-rank regression", shares=(0.5, 1.0), others=(Base(None, 0.0), Base(None, 1.0)), reduced=True)


BASELINES.register(
    Baseline(
        name="reduced_rank",
        label="reduced-rank regression",
        place=6,
        fit=ReducedRank.fit,
        pooled=ReducedRank.pooled,
        does="reduced-rank regression of all units on all units' past",
        parameters="both factors of the coefficients, those of each unit's own past, and constants",
        knows="other_units",
        uses=("var_lags", "ar_orders"),
        linear=True,
    )
)
