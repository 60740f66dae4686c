"""The compiled operators: the only file that touches `jax.ffi`.

The kernels are a plain shared library with a C interface, found beside this file and loaded by
ctypes, so that one build serves every Python version and building needs no Python headers.
"""

from __future__ import annotations

import ctypes
import re
import warnings
from collections.abc import Callable
from functools import cache, partial
from itertools import chain
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array

from connfit.models.ops.pattern import LaidOut, Pattern

LIBRARY = "connfit_kernels"
_BLOCK = 8  # columns that rmatvec scatters at once: one AVX2 vector, and buffers no larger than the weights
_HANDLERS = (
    "connfit_matvec", "connfit_rmatvec", "connfit_sampled_outer", "connfit_window_outer", "connfit_window_outer_bf16",
    "connfit_dense_outer", "connfit_dense_outer_bf16", "connfit_event_matvec", "connfit_events", "connfit_lay_out",
)  # fmt: skip
_OF_BLOCKS = (
    "connfit_window_outer_rows", "connfit_window_outer_rows_bf16", "connfit_dense_outer_rows",
    "connfit_dense_outer_rows_bf16", "connfit_room",
)  # fmt: skip
_OF_CELLS = tuple(
    f"connfit_{cell}_{what}"
    for cell in ("lif", "adaptive_lif")
    for what in ("step", "forward", "window", "window_bf16")
)
_OF_STEPS = "connfit_lif_run", "connfit_adaptive_lif_run"
_OF_RATES = ("connfit_rate_forward", "connfit_rate_backward")
_OF_OPTIMISERS = ("connfit_adam", "connfit_sum_of_squares")
_OF_EVENTS = ("connfit_poisson_counts",)
_LATER = _OF_BLOCKS, _OF_CELLS, _OF_STEPS, _OF_RATES, _OF_OPTIMISERS, _OF_EVENTS
_ROOM_FOR_EVENTS = 8  # numbers of which one may not be 0, for lists of those to be used
_registered: set[str] = set()
_loaded: list[ctypes.CDLL] = []
_NUMBERS_AT_ONCE = 250_000  # of what a block of rows brings along: 1 MB, which stays in the cache


@cache
def _load() -> str:
    """Register the compiled handlers with XLA; return why that was not possible, or an empty string."""
    import connfit.models.ops

    # An editable install keeps the library and the sources in different folders of one package.
    files = [file for folder in connfit.models.ops.__path__ for file in sorted(Path(folder).glob(f"*{LIBRARY}.*"))]
    files = [file for file in files if file.suffix in (".so", ".dylib", ".dll", ".pyd")]
    if not files:
        return "this installation was built without a C++ compiler; install one and reinstall connfit"
    try:
        library = ctypes.CDLL(str(files[0]))
        _loaded[:] = [library]
        built = library.connfit_ffi_version()
        if built > (here := _ffi_version()):
            return (
                f"they were compiled for version {built} of XLA's interface and jax {jax.__version__} has {here}; "
                "reinstall connfit with `pip install --no-build-isolation`, or update jax"
            )
        # A library that was compiled before some of these does without them.
        later = (names for names in _LATER if hasattr(library, names[0]))
        for name in (*_HANDLERS, *chain.from_iterable(later)):
            _registered.add(name)
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except (OSError, AttributeError, RuntimeError, ValueError) as error:
        return f"{files[0].name} does not load ({error}); reinstall connfit"
    return ""


def _ffi_version() -> int:
    """Version of XLA's interface in the installed JAX, which says it only in its header."""
    header = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
    parts = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header.read_text()))
    return 1000 * int(parts.get("MAJOR", 0)) + int(parts.get("MINOR", 0))


@cache
def _warn() -> None:
    warnings.warn(f"connfit runs on its portable operators, which are slower: {why_not()}", stacklevel=5)


def available(*, warn: bool = False) -> bool:
    """Return whether the compiled kernels are here; with `warn`, say once per process if they are not."""
    if _load() == "":
        return True
    if warn:
        _warn()
    return False


def has(name: str) -> bool:
    """Return whether the library has a handler."""
    return available() and name in _registered


def library() -> ctypes.CDLL | None:
    """Return the compiled library, for functions that XLA does not call; None if it is not here."""
    return _loaded[0] if available() else None


def why_not() -> str:
    """Explain why the compiled kernels are not available, and what to do; empty if they are."""
    return _load()


def handler(name: str, *results: tuple[tuple[int, ...], jnp.dtype], aliases: dict[int, int] | None = None) -> Callable:
    """Return what calls a handler of the library; `aliases` says whose memory becomes a result's."""
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
    return jax.ffi.ffi_call(name, shapes, vmap_method="sequential", input_output_aliases=aliases)


def _joining_columns(call: Callable[..., Array]) -> Callable[..., Array]:
    """Give `call(..., x)` a vmap rule that turns a batch of x alone into more columns of one call."""
    mapped = jax.custom_batching.custom_vmap(call)

    @mapped.def_vmap
    def rule(size: int, batched: list[bool], *operands: Array) -> tuple[Array, bool]:
        if not any(batched[:-1]):
            x = operands[-1]
            columns = jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1)
            out = mapped(*operands[:-1], columns)
            return jnp.moveaxis(out.reshape(out.shape[0], size, x.shape[2]), 1, 0), True
        each = [x for x, is_mapped in zip(operands, batched, strict=True) if is_mapped]

        def call(values: list[Array]) -> Array:
            rest = iter(values)
            return mapped(*(next(rest) if is_mapped else x for x, is_mapped in zip(operands, batched, strict=True)))

        return jax.lax.map(call, each), True

    return mapped


def _matvec(indptr: Array, indices: Array, w: Array, x: Array) -> Array:
    shape = (indptr.shape[0] - 1, x.shape[1])
    return handler("connfit_matvec", (shape, x.dtype))(indptr, indices, w, x)[0]


def _rmatvec(columns: int, indptr: Array, indices: Array, w: Array, v: Array) -> Array:
    partitions, block = _partitions(indices.shape[0], columns), min(_BLOCK, max(1, v.shape[1]))
    results = ((columns, v.shape[1]), v.dtype), ((partitions, columns, block), v.dtype)
    return handler("connfit_rmatvec", *results)(indptr, indices, w, v)[0]


def _partitions(nnz: int, columns: int) -> int:
    """Number of buffers that rmatvec scatters into: fixed by the shape so that results are, and at most 16.

    Each buffer is written and read once more, which costs about a tenth of the call at 8
    connections per buffer element.
    """
    partitions = 1
    while partitions < 16 and nnz >= 16 * partitions * max(columns, 1):
        partitions *= 2
    return partitions


def matvec(pattern: Pattern, w: Array, x: Array) -> Array:
    """Compute `portable.matvec`, float32."""
    return _joining_columns(_matvec)(pattern.indptr, pattern.indices, w, x)


def rmatvec(pattern: Pattern, w: Array, v: Array) -> Array:
    """Compute `portable.rmatvec`, float32."""
    return _joining_columns(partial(_rmatvec, pattern.columns))(pattern.indptr, pattern.indices, w, v)


def event_matvec(pattern: Pattern, w: Array, x: Array) -> Array:
    """Compute `portable.matvec`, float32, along the columns that are not 0 where they are few."""
    return _joining_columns(_event_matvec)(pattern.indptr, pattern.indices, *by_column(pattern), w, x)


def _event_matvec(indptr: Array, indices: Array, *others: Array) -> Array:
    x = others[-1]
    call = handler("connfit_event_matvec", ((indptr.shape[0] - 1, x.shape[1]), x.dtype))
    return call(indptr, indices, *others)[0]


def by_column(pattern: Pattern) -> tuple[Array, ...]:
    """Return what native code needs to follow columns: their connections, and weights in that order, if any."""
    by = pattern.sorted_by_column()
    laid_out = by.laid_out or LaidOut(jnp.zeros(0, jnp.float32), jnp.zeros(0, jnp.int32))
    return by.indptr, by.rows, by.places, *laid_out


def lay_out(pattern: Pattern, w: Array, sent: Array, steps: int) -> LaidOut:
    """Copy weights [M] into the order of their columns, where that pays for steps in which so many of `sent` are 0."""
    by = pattern.sorted_by_column()
    call = handler("connfit_lay_out", ((pattern.nnz,), w.dtype), ((1,), jnp.int32))
    return LaidOut(*call(by.indptr, by.rows, by.places, w, sent, jnp.array([steps], jnp.int32)))


Events = tuple[Array, Array, Array]
"""What is not 0 of [C, B, K] numbers: where the list of each row [C, B] starts, steps, and values."""


def _no_events() -> Events:
    """Lists where nothing is said of what is not 0."""
    return jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.float32)


def events_of(right: Array) -> Events:
    """List what is not 0; the lists are not used where that is more than one of `_ROOM_FOR_EVENTS`."""
    columns, batch, _ = right.shape
    room = max(1024, right.size // _ROOM_FOR_EVENTS)
    results = ((columns * batch + 1,), jnp.int32), ((room,), jnp.int32), ((room,), right.dtype)
    starts, steps, values = handler("connfit_events", *results)(right)
    return starts, steps, values


def sampled_outer(pattern: Pattern, left: Array, right: Array) -> Array:
    """Compute `portable.sampled_outer`, float32."""
    return _sampled_outer(pattern, _no_events(), left, right)


def event_sampled_outer(pattern: Pattern, left: Array, right: Array) -> Array:
    """Compute `portable.sampled_outer`, float32, from what is not 0 of `right` where that is little."""
    return _sampled_outer(pattern, events_of(right[:, None]), left, right)


def _sampled_outer(pattern: Pattern, events: Events, left: Array, right: Array) -> Array:
    call = handler("connfit_sampled_outer", ((pattern.nnz,), left.dtype))
    return call(pattern.indptr, pattern.indices, *events, left, right)[0]


def window_outer(pattern: Pattern, trace: Array, *factors: Array) -> tuple[Array, Array]:
    """Compute `portable.window_outer`, float32, traces also bfloat16; new traces take the memory of old ones."""
    return _window_outer(pattern, _no_events(), trace, *factors)


def event_window_outer(pattern: Pattern, trace: Array, *factors: Array) -> tuple[Array, Array]:
    """Compute `window_outer` from what is not 0 of `right`, the last factor, where that is little."""
    return _window_outer(pattern, events_of(factors[-1]), trace, *factors)


def _window_outer(pattern: Pattern, events: Events, trace: Array, *factors: Array) -> tuple[Array, Array]:
    name = "connfit_window_outer_bf16" if trace.dtype == jnp.bfloat16 else "connfit_window_outer"
    call = handler(name, ((pattern.nnz,), factors[-1].dtype), (trace.shape, trace.dtype), aliases={5: 1})
    gradient, new_trace = call(pattern.indptr, pattern.indices, *events, trace, *factors)
    return gradient, new_trace


def dense_outer(
    trace: Array, carry: Array, decay: Array, left: Array, trace_left: Array, right: Array
) -> tuple[Array, Array]:
    """Compute `portable.dense_outer`, float32, traces also bfloat16; new traces take the memory of old ones."""
    name = "connfit_dense_outer_bf16" if trace.dtype == jnp.bfloat16 else "connfit_dense_outer"
    gradient = (trace.shape[1], trace.shape[3]), left.dtype
    call = handler(name, gradient, (trace.shape, trace.dtype), aliases={0: 1})
    gradient, new_trace = call(trace, carry, decay, left, trace_left, right.transpose(1, 2, 0))
    return gradient, new_trace


OfRows = Callable[[Array, int], tuple[Array, Array, Array, Array]]
"""carry, decay, left and trace_left of so many rows from one on."""


def window_outer_in_blocks(
    pattern: Pattern, trace: Array, of_rows: OfRows, right: Array, after: Array, block: int, spikes: bool = False
) -> tuple[Array, Array]:
    """Compute `window_outer` for one block of rows after the other, and only then what it needs of them."""
    name = "connfit_window_outer_rows_bf16" if trace.dtype == jnp.bfloat16 else "connfit_window_outer_rows"
    gradient = jax.ShapeDtypeStruct((pattern.nnz,), right.dtype)
    call = handler(name, (gradient.shape, gradient.dtype), (trace.shape, trace.dtype), aliases={1: 0, 7: 1})
    events = events_of(right) if spikes else _no_events()

    def rows(bounds: Array, gradient: Array, trace: Array, *factors: Array) -> tuple[Array, Array]:
        gradient, trace = call(bounds, gradient, pattern.indptr, pattern.indices, *events, trace, *factors, right)
        return gradient, trace

    return _in_blocks(pattern.rows, block, rows, gradient, trace, of_rows, after)


def dense_outer_in_blocks(trace: Array, of_rows: OfRows, right: Array, after: Array, block: int) -> tuple[Array, Array]:
    """Compute `dense_outer` for one block of rows after the other, and only then what it needs of them."""
    name = "connfit_dense_outer_rows_bf16" if trace.dtype == jnp.bfloat16 else "connfit_dense_outer_rows"
    gradient = jax.ShapeDtypeStruct((trace.shape[1], trace.shape[3]), right.dtype)
    call = handler(name, (gradient.shape, gradient.dtype), (trace.shape, trace.dtype), aliases={1: 0, 2: 1})
    by_step = right.transpose(1, 2, 0)

    def rows(bounds: Array, gradient: Array, trace: Array, *factors: Array) -> tuple[Array, Array]:
        gradient, trace = call(bounds, gradient, trace, *factors, by_step)
        return gradient, trace

    return _in_blocks(trace.shape[1], block, rows, gradient, trace, of_rows, after)


def _in_blocks(
    rows: int, block: int, part: Callable[..., tuple[Array, Array]], gradient: jax.ShapeDtypeStruct, trace: Array,
    of_rows: OfRows, after: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """Go through blocks of rows; the last one holds as many as the others, and skips those that are done.

    The gradient's memory is taken when `after` is there.
    """
    room = handler("connfit_room", (gradient.shape, gradient.dtype))(after)[0]

    def one(k: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        begin = k * block
        first = jnp.minimum(begin, rows - block)
        bounds = jnp.stack([first, begin, jnp.minimum(begin + block, rows)]).astype(jnp.int32)
        return part(bounds, *found, *of_rows(first, block))

    return jax.lax.fori_loop(0, -(-rows // block), one, (room, trace))


def rows_at_once(rows: int, numbers: int) -> int:
    """Return how many rows make a block, of which each brings along so many numbers."""
    return rows if not _registered.issuperset(_OF_BLOCKS) else min(rows, max(1, _NUMBERS_AT_ONCE // max(1, numbers)))
