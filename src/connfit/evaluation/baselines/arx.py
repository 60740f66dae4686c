"""An autoregression of every unit on its own past and on the external inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines import BASELINES, Baseline
from connfit.evaluation.baselines.ar import MIN_ROWS_PER_NUMBER, Ar
from connfit.evaluation.baselines.autoregression import Autoregression
from connfit.evaluation.baselines.choosing import at_edge, least, training_blocks, tuning_blocks
from connfit.evaluation.baselines.gap_filter import filtered_pasts
from connfit.evaluation.baselines.processes import OwnProcess
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.evaluation.baselines.with_inputs import WithInputs
from connfit.evaluation.forecasts import Forecaster
from connfit.recordings import Recording

OWN = tuple(float(alpha) for alpha in 10.0 ** np.arange(-1.0, 5.5, 1.0))
"""Penalties on how far a unit's own past departs from its autoregression without inputs."""

OUTSIDE = tuple(float(alpha) for alpha in 10.0 ** np.arange(-1.0, 5.5, 0.5))
"""Penalties on the coefficients of inputs; a strong one leads to the autoregression without them."""


@dataclass(frozen=True, eq=False)
class ArxProcess(OwnProcess):
    """y(t) = c + Σ_l a_l y(t - l) + Σ_l b_l v(t - l) + e(t) of every unit; the last columns are the inputs v.

    Parameters
    ----------
    outside
        [L, Q, P] coefficients of inputs; of an input itself 0.
    """

    outside: Float[np.ndarray, "L Q P"]

    def predict(self, past: Float[np.ndarray, "S L P"]) -> Float[np.ndarray, "S P"]:
        """Return the mean of the frame after L frames, newest first."""
        inputs = past[:, :, past.shape[2] - self.outside.shape[1] :]
        return super().predict(past) + np.einsum("slq,lqp->sp", inputs, self.outside)


@dataclass(frozen=True)
class _Choice:
    lags: int
    own: float
    outside: float


def arx(recording: Recording, config: EvaluateConfig) -> Forecaster:
    """Fit an autoregression of each unit, then its coefficients again together with those of the inputs.

    The autoregression without inputs (`Ar`, of units and of inputs) gives order and start: ridge regression of each
    unit on its own past and on the last frames of all inputs, with one penalty on the distance of own coefficients from
    that start and one on those of inputs. Both penalties and the lags of inputs (of `var_lags`) are of least one-step
    error on validation, one for all units. Unobserved values are filtered: given the inputs, a unit's own process is
    that of `Ar`.
    """
    if recording.inputs is None:
        return Ar.fit(recording, config)
    return WithInputs.fit(recording, config, "arx", _fit(len(recording.inputs.channels)))


def _fit(inputs: int):
    def fit(wide: Recording, config: EvaluateConfig) -> Autoregression:
        return _fitted(wide, inputs, config)

    return fit


def _fitted(wide: Recording, inputs: int, config: EvaluateConfig) -> Autoregression:
    ar, units = Ar.fit(wide, config), len(wide.units) - inputs
    assert isinstance(ar.process, OwnProcess)
    most = max(config.var_lags)
    window = max(ar.lags, most)
    process = ar.process.with_lags(window)
    correlations = np.concatenate([ar.correlations, np.repeat(ar.correlations[-1:], window - ar.lags, axis=0)])
    start = replace(ar, process=process, correlations=correlations)
    train, tune, tuned_on = tuning_blocks([wide])
    fitting, checking = (_Rows.of(start, wide, block[0], units) for block in (train, tune))
    found = least(
        (checking.error(solution, ar.scaling.stds[:units]), choice)
        for choice, solution in fitting.solutions(process, ar.lags, sorted(set(config.var_lags)))
    )
    if found is None:
        raise DataError(f"recording {wide.name!r}: nothing was observed on which an ARX could be tuned")
    error, choice = found
    whole = _Rows.of(start, wide, training_blocks([wide])[0], units)
    _, (own, outside, constant) = next(whole.solutions(process, ar.lags, [choice.lags], [choice.own], [choice.outside]))
    coefficients = process.coefficients.copy()
    coefficients[:, :units] = own
    intercept = process.intercept.copy()
    intercept[:units] = constant
    full = np.zeros((window, inputs, units + inputs))
    full[:, :, :units] = outside
    chosen = {
        "order": ar.lags,
        "lags": choice.lags,
        "alpha": choice.outside,
        "alpha_at_edge": at_edge(choice.outside, OUTSIDE),
        "alpha_own": choice.own,
        "tuned_on": tuned_on,
        "tuning_mse": error,
    }
    numbers = (units + inputs) * (ar.lags + 1 + choice.lags * inputs)
    return Autoregression(
        ArxProcess(coefficients, intercept, process.variance, full), correlations, ar.scaling, numbers, chosen, "arx"
    )


Solution = tuple[Float[np.ndarray, "L P"], Float[np.ndarray, "L Q P"], Float[np.ndarray, "P"]]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Pasts as they are known, what followed, and where it was observed, of a block of frames; standardised."""

    past: Float[np.ndarray, "t L C"]
    z: Float[np.ndarray, "t P"]
    seen: Bool[np.ndarray, "t P"]

    @classmethod
    def of(cls, start: Autoregression, wide: Recording, block: tuple[int, int], units: int) -> _Rows:
        def read(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
            return start.scaling.standardise(wide.values[first:last], wide.mask[first:last])

        stretch = Stretch(block[1], len(wide.units), read)
        rows = [rows[:-1] for _, rows, _ in filtered_pasts(start.process, start.correlations, stretch)]
        z, seen = read(0, block[1])
        first = max(block[0], 1)
        there = seen & start.scaling.known
        return cls(np.concatenate(rows)[first:], z[first:, :units], there[first:, :units])

    def solutions(
        self,
        process: OwnProcess,
        order: int,
        lags: Sequence[int],
        own_penalties: Sequence[float] = OWN,
        penalties: Sequence[float] = OUTSIDE,
    ) -> Iterator[tuple[_Choice, Solution]]:
        """Solve for every choice; units with few frames keep their autoregression without inputs."""
        units, window = self.z.shape[1], self.past.shape[1]
        count = self.past.shape[2] - units
        for some in lags:
            outside = self.past[:, :some, units:].reshape(len(self.past), -1)
            grams, crosses, starts = [], [], []
            enough = self.seen.sum(axis=0) >= MIN_ROWS_PER_NUMBER * (order + 1)
            for k in range(units):
                x = np.concatenate([self.past[:, :order, k], outside, np.ones((len(outside), 1))], axis=1)
                x, y = x[self.seen[:, k]], self.z[self.seen[:, k], k]
                at = np.concatenate([process.coefficients[:order, k], np.zeros(outside.shape[1])])
                at = np.append(at, process.intercept[k])
                grams.append(x.T @ x)
                crosses.append(x.T @ (y - x @ at))
                starts.append(at)
            gram, cross, start = np.stack(grams), np.stack(crosses), np.stack(starts)
            for alpha_own in own_penalties:
                for alpha in penalties:
                    weight = np.concatenate([np.full(order, alpha_own), np.full(outside.shape[1], alpha), [alpha_own]])
                    moved = np.linalg.solve(gram + np.diag(weight), cross[..., None])[..., 0]
                    b = start + np.where(enough[:, None], moved, 0.0)
                    own, by_input = np.zeros((window, units)), np.zeros((window, count, units))
                    own[:order] = b[:, :order].T
                    by_input[:some] = b[:, order:-1].T.reshape(some, count, units)
                    yield _Choice(some, alpha_own, alpha), (own, by_input, b[:, -1])

    def error(self, solution: Solution, stds: Float[np.ndarray, "P"]) -> float:
        """Return the mean squared error of one-step predictions, in the recording's units."""
        own, outside, constant = solution
        units = self.z.shape[1]
        predicted = np.einsum("lp,tlp->tp", own, self.past[..., :units]) + constant
        predicted += np.einsum("tlq,lqp->tp", self.past[..., units:], outside)
        if not self.seen.any():
            return float("nan")
        return float((self.seen * ((predicted - self.z) * stds) ** 2).sum() / self.seen.sum())


BASELINES.register(
    Baseline(
        name="arx",
        label="ARX",
        phrase="ARX of each unit",
        place=3,
        fit=arx,
        not_pooled="it is of the inputs of one animal",
        does="autoregression of each unit on its own past and on the inputs",
        parameters="coefficients of each unit's own past and of all inputs, and a constant",
        knows="inputs",
        uses=("ar_orders", "var_lags"),
        linear=True,
        with_inputs_of="ar",
    )
)
