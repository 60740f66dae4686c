"""Sparse operators on a fixed pattern of connections, with derivative rules.

`matvec` and `rmatvec` apply a connectome and its adjoint, `sampled_outer` and `window_outer` form
the gradient of its weights. Each has a portable form in plain XLA, a native one in C++, and one in
Pallas for NVIDIA cards.
"""

from __future__ import annotations

from connfit.models.ops.by_rows import dense_outer_by_rows, window_outer_by_rows
from connfit.models.ops.choice import lay_out, prepare, use
from connfit.models.ops.operators import dense_outer, matvec, rmatvec, sampled_outer, window_outer
from connfit.models.ops.pattern import Pattern
from connfit.models.ops.portable import EXACT

__all__ = [
    "EXACT",
    "Pattern",
    "dense_outer",
    "dense_outer_by_rows",
    "lay_out",
    "matvec",
    "prepare",
    "rmatvec",
    "sampled_outer",
    "use",
    "window_outer",
    "window_outer_by_rows",
]
