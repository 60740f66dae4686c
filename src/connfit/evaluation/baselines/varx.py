"""Vector autoregressions that are given the external inputs, too."""

from __future__ import annotations

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.reduced_rank import ReducedRank
from connfit.evaluation.baselines.var_around_ar import VarAroundAr
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.baselines.with_inputs import WithInputs
from connfit.evaluation.forecasts import Forecaster
from connfit.recordings import Recording

WITHOUT = "it is of the inputs of one animal"


def varx_ridge(recording: Recording, config: EvaluateConfig) -> Forecaster:
    """Fit `VarRidge` with inputs beside the units."""
    return WithInputs.fit(recording, config, "varx_ridge", VarRidge.fit)


def varx_around_ar(recording: Recording, config: EvaluateConfig) -> Forecaster:
    """Fit `VarAroundAr` with inputs beside the units."""
    return WithInputs.fit(recording, config, "varx_around_ar", VarAroundAr.fit)


def reduced_rank_x(recording: Recording, config: EvaluateConfig) -> Forecaster:
    """Fit `ReducedRank` with inputs beside the units."""
    return WithInputs.fit(recording, config, "reduced_rank_x", ReducedRank.fit)


BASELINES.register(
    Baseline(
        name="varx_ridge",
        label="ridge VARX",
        place=4,
        fit=varx_ridge,
        not_pooled=WITHOUT,
        does="linear autoregression of all units and inputs with a ridge penalty",
        parameters="coefficients of units on all units, inputs and lags, and constants",
        knows="other_units",
        uses=("var_lags",),
        linear=True,
        with_inputs_of="var_ridge",
    )
)
BASELINES.register(
    Baseline(
        name="varx_around_ar",
        label="VARX around AR",
        phrase="the VARX around each unit's AR",
        place=5,
        fit=varx_around_ar,
        not_pooled=WITHOUT,
        does="linear autoregression of all units and inputs around each unit's own autoregression",
        parameters="coefficients of units on all units, inputs and lags, those of each unit's own past, and constants",
        knows="other_units",
        uses=("var_lags", "ar_orders"),
        linear=True,
        with_inputs_of="var_around_ar",
    )
)
BASELINES.register(
    Baseline(
        name="reduced_rank_x",
        label="reduced-rank regression with inputs",
        place=6,
        fit=reduced_rank_x,
        not_pooled=WITHOUT,
        does="reduced-rank regression of all units on the past of all units and inputs",
        parameters="both factors of the coefficients, those of each unit's own past, and constants",
        knows="other_units",
        uses=("var_lags", "ar_orders"),
        linear=True,
        with_inputs_of="reduced_rank",
    )
)
