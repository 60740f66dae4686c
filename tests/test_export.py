"""The training step with portable operators lowers for CPU and for CUDA, without a GPU here."""

from __future__ import annotations

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from networks import random_problem

from connfit.models import ops
from connfit.training.learners import preset
from connfit.training.optimiser import OPTIMISERS
from connfit.training.step import StepOptions, training_step


@pytest.mark.parametrize("rule", [pytest.param("d-rtrl", marks=pytest.mark.slow), "hybrid"])
def test_training_step_exports_for_cpu_and_cuda(rule: str) -> None:
    problem = random_problem(0, steps=4)
    learner, groups = preset(rule, window=4), problem.model.groups
    # Strong types: an exported program knows no Python scalars.
    params = {key: jnp.asarray(np.asarray(value)) for key, value in problem.params.items()}
    memory = learner.start(problem.model, 2, groups)

    def step(model, params, adam, memory, window, rates):
        options = StepOptions(l1_weights=0.1)
        return training_step(
            model, params, {}, None, adam, memory, window, rates,
            learner=learner, groups=groups, options=options,
        )  # fmt: skip

    rates = {key: jnp.asarray(1e-3) for key in params}
    arguments = (problem.model, params, OPTIMISERS["adam"].init(params), memory, problem.window, rates)
    leaves, structure = jax.tree.flatten(arguments)
    leaves = [jnp.asarray(leaf) for leaf in leaves]

    def flat(*leaves):
        return tuple(jax.tree.leaves(step(*jax.tree.unflatten(structure, leaves))))

    with ops.use("portable"):
        exported = jax.export.export(jax.jit(flat), platforms=("cpu", "cuda"))(*leaves)
    assert set(exported.platforms) == {"cpu", "cuda"}
    with ops.use("portable"):
        expected = jax.jit(flat)(*leaves)
    got = exported.call(*leaves)
    assert len(got) == len(expected)
    assert "connfit_" not in exported.mlir_module()
    for one, other in zip(got, expected, strict=True):
        # The same program compiled twice; fusion may differ in the last bits of float32.
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
