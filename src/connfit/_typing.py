"""Array aliases. Axes: T frames, P recorded units, N neurons, M connections, B recordings, K window steps.

Arrays over time are [time, unit]; connectivity is [postsynaptic, presynaptic]; times are in
seconds, rates in hertz unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import jax
import numpy as np

ArrayLike: TypeAlias = jax.Array | np.ndarray
"""An array on the host or on the device."""

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What a JSON file holds."""
