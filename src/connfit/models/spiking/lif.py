"""The leaky integrate-and-fire neuron with an exponential synapse: its constants, and its exact step."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from connfit.errors import ConfigError

_WHOLE = 1e-6
"""How far from a whole number of steps a time may be: rounding of decimal milliseconds."""


@dataclass(frozen=True)
class LeakyNeuron:
    """Constants of a leaky integrate-and-fire neuron; the defaults are those of Shiu et al. 2024.

    ``dv/dt = (v_rest - v + g) / τ_membrane``, ``dg/dt = -g / τ_synapse``. Where v exceeds the threshold, the neuron
    spikes: v is reset, g becomes 0, and both stay as they are, whatever arrives, for the refractory period. After the
    delay a spike adds its connections' weights to g of the neurons that they reach.

    Parameters
    ----------
    rest_mv, reset_mv, threshold_mv
        Membrane potentials.
    membrane_ms, synapse_ms
        Time constants.
    refractory_ms
        From a spike to the first step in which the neuron moves again.
    delay_ms
        From a spike to the step in which it arrives.
    synapse_mv
        What a spike adds to g, by synapse.
    poisson_mv
        What an event of the external drive adds to v.

    Raises
    ------
    ConfigError
        If a constant is out of range.

    References
    ----------
    Shiu et al. 2024, doi:10.1038/s41586-024-07763-9, and https://github.com/philshiu/Drosophila_brain_model.
    """

    rest_mv: float = -52.0
    reset_mv: float = -52.0
    threshold_mv: float = -45.0
    membrane_ms: float = 20.0
    synapse_ms: float = 5.0
    refractory_ms: float = 2.2
    delay_ms: float = 1.8
    synapse_mv: float = 0.275
    poisson_mv: float = 250 * 0.275

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise ConfigError(f"{field.name} is {value:g}, but must be finite")
        for name in ("membrane_ms", "synapse_ms", "delay_ms"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}, but must be above 0")
        if self.refractory_ms < 0:
            raise ConfigError(f"refractory_ms is {self.refractory_ms:g}, but must be 0 or more")
        if max(self.rest_mv, self.reset_mv) >= self.threshold_mv:
            raise ConfigError(
                f"threshold_mv is {self.threshold_mv:g}, but must lie above rest ({self.rest_mv:g} mV) and reset "
                f"({self.reset_mv:g} mV)"
            )

    def stepped(self, step_ms: float) -> SteppedNeuron:
        """Return the neuron as it moves in steps of this length.

        Raises
        ------
        ConfigError
            If the delay or the refractory period is no whole number of steps, or the delay is none.
        """
        if not (math.isfinite(step_ms) and step_ms > 0):
            raise ConfigError(f"the step is {step_ms:g} ms, but must be above 0")
        delay = self._steps("delay", self.delay_ms, step_ms)
        if delay < 1:
            raise ConfigError(f"a step of {step_ms:g} ms is longer than the delay of {self.delay_ms:g} ms")
        v, g = math.exp(-step_ms / self.membrane_ms), math.exp(-step_ms / self.synapse_ms)
        if math.isclose(self.membrane_ms, self.synapse_ms, rel_tol=1e-9):
            from_g = step_ms / self.membrane_ms * v
        else:
            from_g = self.synapse_ms / (self.synapse_ms - self.membrane_ms) * (g - v)
        return SteppedNeuron(
            self, step_ms, v, g, from_g, delay, self._steps("refractory period", self.refractory_ms, step_ms)
        )

    def _steps(self, what: str, time_ms: float, step_ms: float) -> int:
        steps = time_ms / step_ms
        if abs(steps - round(steps)) > _WHOLE * max(1.0, steps):
            raise ConfigError(
                f"the {what} of {time_ms:g} ms is {steps:.3g} steps of {step_ms:g} ms, but must be a whole number of "
                f"them: {self.delay_ms:g} ms and {self.refractory_ms:g} ms both are with a step of {self._fitting()}"
            )
        return round(steps)

    def _fitting(self) -> str:
        """The longest steps, in ms, that divide delay and refractory period, which are taken to a microsecond."""
        common = math.gcd(round(1000 * self.delay_ms), round(1000 * self.refractory_ms))
        parts = [part for part in range(1, common + 1) if common % part == 0][:3]
        return ", ".join(f"{common / part / 1000:g}" for part in parts) + " ms" if common else "another length"


@dataclass(frozen=True)
class SteppedNeuron:
    """A neuron in steps of one length, integrated exactly: both equations are linear between spikes.

    With u = v - v_rest, ``u' = decay_v u + from_g g`` and ``g' = decay_g g``.

    Parameters
    ----------
    neuron
        Its constants.
    step_ms
        Length of a step.
    decay_v, decay_g, from_g
        ``exp(-Δt/τ_membrane)``, ``exp(-Δt/τ_synapse)`` and
        ``τ_synapse / (τ_synapse - τ_membrane) (decay_g - decay_v)``.
    delay, refractory
        In steps.
    """

    neuron: LeakyNeuron
    step_ms: float
    decay_v: float
    decay_g: float
    from_g: float
    delay: int
    refractory: int

    @property
    def threshold(self) -> float:
        """Threshold above rest, mV."""
        return self.neuron.threshold_mv - self.neuron.rest_mv

    @property
    def reset(self) -> float:
        """Reset above rest, mV."""
        return self.neuron.reset_mv - self.neuron.rest_mv


SHIU = LeakyNeuron()
"""The neuron of Shiu et al. 2024: their constants and those of the papers that they cite, in `model.py`."""
