"""A ridge vector autoregression around each unit's own autoregression."""

from __future__ import annotations

from dataclasses import dataclass

from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.around_own import AroundOwn, Kind


@dataclass(frozen=True, eq=False)
class VarAroundAr(AroundOwn):
    """A ridge vector autoregression of what is left around each unit's own, shrunken autoregression.

    y(t) = [share AR(y)(t) + (1 - share) y(t - 1)] + c + Σ_l B_l u(t - l), with u the levels of all units or their
    changes from frame to frame. AR is each unit's own ridge autoregression, of levels or of changes, shrunken towards
    persistence; for both, order and penalty are those of its least error on validation; its share, u, lags and
    penalty are chosen together, and last the intercept. Missing values as in `VarRidge`.
    """

    name: str = "var_around_ar"
    kind = Kind("a vector autoregression around each unit's own", shares=(0.25, 0.5, 0.75, 1.0))


BASELINES.register(
    Baseline(
        name="var_around_ar",
        label="VAR around AR",
        phrase="the VAR around each unit's AR",
        place=5,
        fit=VarAroundAr.fit,
        pooled=VarAroundAr.pooled,
        does="linear autoregression of all units around each unit's own autoregression",
        parameters="coefficients of all pairs of units and lags, those of each unit's own past, and constants",
        knows="other_units",
        uses=("var_lags", "ar_orders"),
        linear=True,
    )
)
