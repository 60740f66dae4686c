"""Arrays without a program: to make zeros, or an array of NumPy's one, JAX compiles a program for each shape.

These are a third of all programs of the tests, of 20 ms each. Only what is called outside any trace is replaced, by the
same values of the same type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

PLAIN = (bool, int, float)
"""Types of Python, for which JAX takes its own of the precision of now."""


def put_directly(replace: Callable[[Any, str, Any], None]) -> None:
    """Replace what makes arrays in `jax.numpy`, with the help of `setattr` or what is like it."""
    import jax

    try:
        from jax._src.core import trace_state_clean
    except ImportError:  # of another version of JAX: tests only take longer
        return

    def kind_of(dtype: Any) -> np.dtype | None:
        """What JAX makes of a type, or nothing where it says something about it or NumPy has no such type."""
        asked = np.dtype(dtype)
        kind = jax.dtypes.canonicalize_dtype(asked)
        return kind if kind.kind in "bif" and (kind == asked or dtype in PLAIN) else None

    def made(original: Callable, values: Callable[[Any, np.dtype], np.ndarray]) -> Callable:
        def make(shape: Any, dtype: Any = None, **options: Any) -> jax.Array:
            kind = None if options or not trace_state_clean() else kind_of(float if dtype is None else dtype)
            return original(shape, dtype, **options) if kind is None else jax.device_put(values(shape, kind))

        return make

    make_full = jax.numpy.full

    def full(shape: Any, fill_value: Any, dtype: Any = None, **options: Any) -> jax.Array:
        # Without a type it may be a weak one, which nothing but JAX makes.
        kind = None if options or dtype is None or not trace_state_clean() else kind_of(dtype)
        if kind is None or type(fill_value) not in PLAIN:
            return make_full(shape, fill_value, dtype, **options)
        return jax.device_put(np.full(shape, fill_value, kind))

    def copied(original: Callable) -> Callable:
        def copy(a: Any, dtype: Any = None, **options: Any) -> jax.Array:
            if options or type(a) is not np.ndarray or a.dtype.kind not in "bif" or not trace_state_clean():
                return original(a, dtype, **options)
            kind = jax.dtypes.canonicalize_dtype(a.dtype) if dtype is None else kind_of(dtype)
            if kind is None or "bif".index(kind.kind) < "bif".index(a.dtype.kind):
                return original(a, dtype, **options)
            with np.errstate(all="ignore"):  # as JAX does
                return jax.device_put(a.astype(kind))  # a copy: `a` may change

        return copy

    def like(original: Callable, values: Callable[[Any, np.dtype], np.ndarray]) -> Callable:
        def make(a: Any, dtype: Any = None, **options: Any) -> jax.Array:
            known = type(a) is np.ndarray or (isinstance(a, jax.Array) and trace_state_clean() and not a.weak_type)
            if options or dtype is not None or not known or not trace_state_clean() or a.dtype.kind not in "bif":
                return original(a, dtype, **options)
            return jax.device_put(values(a.shape, jax.dtypes.canonicalize_dtype(a.dtype)))

        return make

    numpy = jax.numpy
    for name, function in (
        ("zeros", made(numpy.zeros, np.zeros)), ("zeros_like", like(numpy.zeros_like, np.zeros)),
        ("ones", made(numpy.ones, np.ones)), ("ones_like", like(numpy.ones_like, np.ones)),
        ("asarray", copied(numpy.asarray)), ("array", copied(numpy.array)), ("full", full),
    ):  # fmt: skip
        replace(numpy, name, function)
