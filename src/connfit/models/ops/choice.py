"""Which code runs an operator: native, portable or Pallas, by argument, by `use` or by the environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit._system import environment
from connfit._system.environment import IMPLEMENTATIONS
from connfit.errors import ConfigError, NotAvailableError, one_of
from connfit.models.ops import native
from connfit.models.ops.pattern import Pattern

_BY_PLATFORM = "by platform"
_chosen: ContextVar[str | None] = ContextVar("connfit_ops", default=None)


@contextmanager
def use(implementation: str) -> Iterator[None]:
    """Use this implementation for operators called with `implementation="auto"` within the `with` block.

    The choice is made when a function is traced: a function that is already compiled keeps the
    one that it was compiled with. For `jax.export` to several platforms use `"portable"`.

    Parameters
    ----------
    implementation
        `"native"` (C++, CPU, float32; an error where that is not possible), `"portable"` (plain
        XLA), `"pallas"` (kernels for NVIDIA cards; on other devices they are interpreted, which is
        slow), or `"auto"`: native where it is possible, else portable. Outside of any `use` the
        environment variable CONNFIT_OPS decides, `auto` if it is not set.

    Raises
    ------
    ConfigError
        If there is no such implementation.
    """
    token = _chosen.set(one_of("implementation", implementation, IMPLEMENTATIONS))
    try:
        yield
    finally:
        _chosen.reset(token)


def resolve(implementation: str, dtype: jnp.dtype) -> str:
    """The code path: "native", "portable", "pallas", or native on CPU and portable elsewhere."""
    name = _named(implementation)
    environment.whole_number(environment.THREADS)
    if name in ("portable", "pallas"):
        return name
    if name == "native":
        if dtype != jnp.float32:
            raise ConfigError(
                f"the native operators work in float32, the operands are {dtype}; use 'auto' or 'portable'"
            )
        if not native.available():
            raise NotAvailableError(f"the native operators are not here: {native.why_not()}")
        return name
    if dtype != jnp.float32 or not native.available(warn=True):
        return "portable"
    return _BY_PLATFORM


def runs_native(dtype: jnp.dtype) -> bool:
    """Return whether native code runs operators on the default device in this precision."""
    path = resolve("auto", dtype)
    return path == "native" or (path == _BY_PLATFORM and jax.default_backend() == "cpu")


def _named(implementation: str) -> str:
    """This implementation, or for "auto" what `use` or the environment asks for."""
    name = one_of("implementation", implementation, IMPLEMENTATIONS)
    return (_chosen.get() or environment.implementation()) if name == "auto" else name


def prepare(pattern: Pattern, *, spikes: bool = False) -> Pattern:
    """Return the pattern with its connections by column beside it, where operators here use them.

    That is where Pallas kernels are asked for, which would sort them at every call, and on a card,
    where portable code without them adds atomically, in an order that varies; and wherever `spikes` are to be
    followed. They take 8 bytes per connection.
    """
    if not spikes and _named("auto") != "pallas" and jax.default_backend() == "cpu":
        return pattern
    return jax.jit(Pattern.with_columns)(pattern)


def lay_out(pattern: Pattern, w: Float[Array, "M"], sent: Float[Array, "N B"], steps: int) -> Pattern:
    """Return the pattern for a run whose weights stay as they are: native code then finds those of a spike together.

    Parameters
    ----------
    pattern
        What `prepare` made; where native code does not follow spikes it is returned as it is.
    w
        Weights of the run, which alone `matvec` may be given with what is returned; a derivative goes to those.
    sent
        What neurons send in its first step. Weights are copied (4 bytes per connection, about as long as three passes
        over them) where so many spikes in every step, or 512 steps, make that pay.
    steps
        Number of steps.
    """
    if pattern.by_column is None or not runs_native(w.dtype):
        return pattern
    laid_out = native.lay_out(pattern, jax.lax.stop_gradient(w), jax.lax.stop_gradient(sent), steps)
    return replace(pattern, by_column=replace(pattern.by_column, laid_out=laid_out))
