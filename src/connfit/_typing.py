"""Array aliases. Axes: T frames, P recorded units, N neurons, M connections, B recordings, K window steps.

Arrays over time are [time, unit]; connectivity is [postsynaptic, presynaptic]; times are in
seconds, rates in hertz unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import jax
    import numpy as np

    ArrayLike: TypeAlias = jax.Array | np.ndarray
    """An array on the host or on the device."""

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What a JSON file holds."""


def __getattr__(name: str) -> Any:
    """Return `ArrayLike` where it is asked for: commands that compute nothing start in half the time without JAX."""
    if name != "ArrayLike":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import jax
    import numpy as np

    return jax.Array | np.ndarray
