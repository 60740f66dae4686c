"""The start of spiking networks: neurons spike as often as was recorded, and go on to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from networks import random_connectome

from connfit.config import ModelConfig
from connfit.errors import ConfigError
from connfit.models import Readout
from connfit.models.cells.adaptive_integrate_fire import AdaptiveLIF
from connfit.models.cells.integrate_fire import LIF
from connfit.models.cells.rate import Rate
from connfit.models.connectome_model import ConnectomeModel, ModelConditions
from connfit.models.init.balanced_start import USUAL_HZ, balanced_start, fit_balance
from connfit.models.init.start import StartConditions
from connfit.models.rollout import Shown, State, Stepped, rollout
from connfit.training.recipe import _choices


def _sent(model: Any, params: Any, kept: None, now: Stepped, also: None) -> tuple[None, Any]:
    return None, now.rates[:, 0]


@pytest.mark.parametrize("neuron", [LIF(), AdaptiveLIF()])
def test_a_balanced_start_spikes_as_often_as_was_recorded(neuron: LIF) -> None:
    rng, n, units = np.random.default_rng(0), 60, 3
    brain = random_connectome(rng, n, 8)
    own = np.arange(n) % units
    readout = Readout(sp.csr_array((np.full(n, units / n), (own, np.arange(n))), shape=(units, n)), ("a", "b", "c"))
    given = ModelConditions(connectome=brain, readout=readout, step_s=1e-3, drive="none", bounds_s=(1e-3, 1.0))
    model = ConnectomeModel.wire(given, neuron)
    asked = np.array([4.0, 10.0, 20.0])
    frames = asked * rng.gamma(20, 1 / 20, (200, units))
    conditions = StartConditions(connectome=brain, readout=readout, time_constant_s=0.1)
    found = fit_balance(model, conditions, [(frames, np.ones(units))])
    np.testing.assert_allclose(found.target_hz, frames.mean(0)[own])
    rates = np.bincount(own, found.rate_hz) / np.bincount(own)
    np.testing.assert_allclose(rates, asked, rtol=0.25)  # four seconds of 20 neurons: 320 spikes of the slowest unit
    assert found.facts(("a", "b", "c"))["silent"] == 0
    params = balanced_start(model, replace(conditions, fitted=found))
    assert set(params) >= {"weights", "bias", "base", "response"} and float(params["response"][0]) == 1

    plain = fit_balance(model, replace(conditions, spectral_radius=None), [(frames, np.ones(units))])
    np.testing.assert_allclose(plain.magnitudes, 0.275 * brain.counts, rtol=1e-6)
    for other in (frames - 8, frames / 100):  # no rates in hertz: negative, or too low for neurons
        found = fit_balance(model, conditions, [(other, np.ones(units))])
        np.testing.assert_allclose(found.base, np.quantile(other, 0.05, axis=0)[own])
        np.testing.assert_allclose(found.base + USUAL_HZ * found.response, other.mean(0)[own])


def test_weights_with_which_a_network_has_no_such_rates_are_halved() -> None:
    rng, n, units = np.random.default_rng(0), 120, 3
    brain = random_connectome(rng, n, 20)
    own = np.arange(n) % units
    readout = Readout(sp.csr_array((np.full(n, units / n), (own, np.arange(n))), shape=(units, n)), ("a", "b", "c"))
    model = ConnectomeModel.wire(
        ModelConditions(connectome=brain, readout=readout, step_s=1e-3, drive="none", bounds_s=(1e-3, 1.0)), LIF()
    )
    asked = np.array([4.0, 5.0, 6.0])
    frames = asked * rng.gamma(20, 1 / 20, (200, units))
    weak, strong = (
        StartConditions(connectome=brain, readout=readout, time_constant_s=0.1, spectral_radius=radius)
        for radius in (0.02, 2.0)
    )
    quiet, found = (fit_balance(model, one, [(frames, np.ones(units))]) for one in (weak, strong))
    assert quiet.halvings == 0 and quiet.balanced and quiet.facts(())["cautions"] == []
    assert found.halvings > 1 and found.balanced
    np.testing.assert_allclose(found.magnitudes, quiet.magnitudes * 100 * 0.5**found.halvings, rtol=1e-4)
    (caution,) = found.facts(())["cautions"]
    assert f"weights are {0.5**found.halvings:g} of those that model.spectral_radius asks for" in caution

    params = model.own_start() | balanced_start(model, replace(strong, fitted=found))
    each = rollout(model, params, State.of(model, model.rest()), Shown.nothing(model, 10_000), _sent).each
    rates = np.asarray(each)[1000:].mean(0) * 1000
    np.testing.assert_allclose(np.bincount(own, rates) / np.bincount(own), asked, rtol=0.25)
    assert rates.min() > 0 and rates.max() < 4 * asked.max()

    # Weights that are given as millivolts are not changed, but told of.
    many = replace(brain, counts=20 * brain.counts)
    given = replace(weak, connectome=many, spectral_radius=None)
    kept = fit_balance(model, given, [(frames, np.ones(units))])
    np.testing.assert_allclose(kept.magnitudes, 0.275 * many.counts, rtol=1e-6)
    assert not kept.balanced and "were asked for" in kept.facts(())["cautions"][0]


def test_starts_are_for_cells_of_their_kind() -> None:
    brain = random_connectome(np.random.default_rng(0), 8, 2)
    readout = Readout(sp.csr_array(np.eye(1, 8)), ("u",))
    model = ConnectomeModel.wire(ModelConditions(connectome=brain, readout=readout, step_s=0.5), Rate())
    with pytest.raises(ConfigError, match="spikes"):
        fit_balance(model, StartConditions(connectome=brain, readout=readout, time_constant_s=0.5), [])
    assert "balance" not in _choices("drive_start", ModelConfig())
    assert _choices("drive_start", ModelConfig(cell="lif")) == ["balance"]
