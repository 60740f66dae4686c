"""The Pallas kernels as operators: compiled for CUDA, interpreted on any other device.

No card has measured them yet, so they run only where they are asked for (`connfit.models.ops.use("pallas")`, or
CONNFIT_OPS=pallas); by default a card runs the portable operators.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from connfit.models.ops import pallas_sums, pallas_window_outer, portable


def _by_platform(operator: Callable[..., Any]) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        return jax.lax.platform_dependent(*operands, cuda=operator, default=partial(operator, interpret=True))

    return call


matvec = _by_platform(pallas_sums.matvec)
rmatvec = _by_platform(pallas_sums.rmatvec)
sampled_outer = _by_platform(pallas_window_outer.sampled_outer)
window_outer = _by_platform(pallas_window_outer.window_outer)
dense_outer = portable.dense_outer
"""Matrix products, which XLA hands to the card's own library."""
