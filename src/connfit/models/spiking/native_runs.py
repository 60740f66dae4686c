"""Runs of a spiking network in C++: event by event, one run a thread."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.errors import NotAvailableError
from connfit.models.ops import native
from connfit.models.spiking.lif import SteppedNeuron
from connfit.models.spiking.network import SpikingNetwork
from connfit.models.spiking.poisson import Trains

_FUNCTIONS = ("connfit_spiking_new", "connfit_spiking_run", "connfit_spiking_free")
_POINTERS = ("indptr", "targets", "weights", "stimulated", "events", "silent", "place", "current", "counts", "spikes")
_SIZES, _REALS = (
    ("steps", "stimulated_count", "watched"), ("decay_v", "decay_g", "from_g", "threshold", "reset", "kick"),
)  # fmt: skip


class _Args(ctypes.Structure):
    """`connfit::SpikingArgs` of cpp/spiking_run.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _POINTERS), *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_double) for name in _REALS), ("refractory", ctypes.c_int64),
    ]  # fmt: skip


def available() -> bool:
    """Return whether the compiled library is here, and has these functions."""
    library = native.library()
    return library is not None and all(hasattr(library, name) for name in _FUNCTIONS)


def native_chunks(
    network: SpikingNetwork,
    neuron: SteppedNeuron,
    stimulated: Int[np.ndarray, "k"],
    trains: Trains,
    bounds: list[tuple[int, int]],
    silent: Bool[np.ndarray, "N B"] | None,
    watched: Int[np.ndarray, "W"],
    current: Float[np.ndarray, "N"] | None,
) -> Iterator[tuple[Int[np.ndarray, "N B"], Bool[np.ndarray, "T W B"]]]:
    """Compute `connfit.models.spiking.simulate.spikes_of`, chunk by chunk: counts so far and watched spikes.

    Raises
    ------
    NotAvailableError
        If the library was not compiled.
    """
    library = native.library()
    if library is None or not available():
        raise NotAvailableError(f"spiking networks in C++ are not here: {native.why_not() or 'reinstall connfit'}")
    make, run, free = (getattr(library, name) for name in _FUNCTIONS)
    make.restype, make.argtypes = ctypes.c_void_p, [ctypes.c_int, *[ctypes.c_int64] * 3]
    run.restype, run.argtypes = None, [ctypes.c_void_p, ctypes.POINTER(_Args)]
    free.restype, free.argtypes = None, [ctypes.c_void_p]
    real = np.dtype(network.weights.dtype)
    k, runs = trains.shape
    place = np.full(network.neurons, -1, np.int32)
    place[watched] = np.arange(len(watched), dtype=np.int32)
    made = network.by_presynaptic
    counts = np.zeros((runs, network.neurons), np.int32)
    kept: dict[str, Any] = {
        "indptr": made.indptr, "targets": made.rows, "weights": made.weights,
        "stimulated": np.ascontiguousarray(stimulated, np.int32), "place": place, "counts": counts,
        "silent": None if silent is None else np.ascontiguousarray(silent, bool),
        "current": None if current is None else np.ascontiguousarray((1 - neuron.decay_v) * current, real),
    }  # fmt: skip
    handle = make(int(real == np.float64), network.neurons, runs, neuron.delay)
    numbers = {
        "decay_v": neuron.decay_v, "decay_g": neuron.decay_g, "from_g": neuron.from_g, "threshold": neuron.threshold,
        "reset": neuron.reset, "kick": neuron.neuron.poisson_mv, "refractory": neuron.refractory,
        "stimulated_count": k, "watched": len(watched),
    }  # fmt: skip
    owner = _Owner()
    weakref.finalize(owner, free, handle)
    for start, stop in bounds:
        spikes = np.zeros((stop - start, len(watched), runs), bool)
        arrays = {**kept, "events": np.ascontiguousarray(trains.draw(stop - start), bool), "spikes": spikes}
        given = {name: None if array is None else array.ctypes.data for name, array in arrays.items()}
        run(handle, ctypes.byref(_Args(**given, **numbers, steps=stop - start)))
        yield counts.T.copy(), spikes


class _Owner:
    """Lives as long as a simulation, whose memory in C++ is freed with it."""
