"""The devices that hold blocks of neurons, and arrays of which each of them has one part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

T = TypeVar("T")

AXIS = "neurons"
"""Name of the axis of devices."""


def device_mesh(devices: int) -> Mesh:
    """Return the first devices in a row; of several processes all that they have."""
    return Mesh(np.array(jax.devices()[:devices]), (AXIS,))


def spread(mesh: Mesh, make: Callable[[int], T]) -> T:
    """Put part k on device k, for the devices of this process; arrays of the result have a leading axis of devices.

    Parameters
    ----------
    make
        ``make(k)`` returns a tree of arrays, which have the same shapes for every k.
    """
    devices = list(mesh.devices.flat)
    own = [k for k, device in enumerate(devices) if device.process_index == jax.process_index()]
    parts = [jax.tree.map(lambda leaf, k=k: jax.device_put(np.asarray(leaf)[None], devices[k]), make(k)) for k in own]
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))

    def joined(*leaves: Array) -> Array:
        shape = (len(devices), *leaves[0].shape[1:])
        return jax.make_array_from_single_device_arrays(shape, sharding, list(leaves))

    return jax.tree.map(joined, *parts)


def one_block(tree: Any) -> Any:
    """Return a block's own arrays, within `jax.shard_map`, where each has a leading axis of one device."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def of_devices(tree: Any) -> Any:
    """Return arrays of a block with that axis."""
    return jax.tree.map(lambda leaf: leaf[None], tree)


def gathered(array: Array) -> np.ndarray:
    """Return all parts of an array, on the host; every process has to ask."""
    if array.is_fully_addressable:
        return np.asarray(array)
    from jax.experimental.multihost_utils import process_allgather  # imported late: of no use to one process

    return np.asarray(process_allgather(array, tiled=True))
