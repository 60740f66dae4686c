"""Checkpoints of a fit, and what must hold of the arrays and facts in its files before they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import msgspec
import numpy as np

from connfit._io import as_result, read_arrays, write_arrays
from connfit.connectome import Connectome
from connfit.errors import DataError
from connfit.models.base import Params, key_of
from connfit.training.learning_rates import Rates
from connfit.training.optimiser import OPTIMISERS, state_arrays, state_from_arrays
from connfit.training.trainer import PHASES, FitState

AGAIN = "Copy the run directory again, or start a new run"
_UNSIGNED = ("weights", "gains")

HistoryRow = dict[str, float | int | str | None]


@dataclass(frozen=True)
class _StateFacts:
    """What a checkpoint holds beside its arrays."""

    phase: int
    epoch: int
    best_epoch: int
    since_best: int
    finished: bool
    history: tuple[HistoryRow, ...]
    best_value: float | None = None
    rates: Rates | None = None
    # Checkpoints of releases that had Adam alone do not name it.
    optimiser: str = "adam"
    of: str | None = None


@dataclass(frozen=True)
class EndedTraining:
    """What `parameters.npz` holds beside its arrays: how training went.

    Parameters
    ----------
    history
        One row per epoch.
    best_epoch
        Row whose parameters were kept; None: those before training.
    rates
        Learning rates, given or found.
    performance
        What it took.
    of
        Identity of the run (`connfit.training.recorded.Recorded`); None in files of earlier versions.
    """

    history: tuple[dict[str, Any], ...]
    best_epoch: int | None = None
    rates: Rates | None = None
    performance: dict[str, float | int | None] = field(default_factory=dict)
    of: str | None = None


def write_state(path: Path, state: FitState, optimiser: str, of: str | None = None) -> None:
    """Write a checkpoint; `of` is the identity of its run."""
    arrays = {f"params/{key}": np.asarray(value) for key, value in state.params.items()}
    arrays |= {f"best/{key}": value for key, value in state.best_params.items()}
    arrays |= state_arrays(state.optimiser)
    meta = {
        "phase": state.phase,
        "epoch": state.epoch,
        "best_value": None if np.isinf(state.best_value) else state.best_value,
        "best_epoch": state.best_epoch,
        "since_best": state.since_best,
        "finished": state.finished,
        "history": state.history,
        "rates": msgspec.to_builtins(state.rates),
        "optimiser": optimiser,
        "of": of,
    }
    write_arrays(path, arrays, meta)


def read_state(path: Path, of: str | None = None) -> FitState:
    """Read a checkpoint.

    Parameters
    ----------
    of
        Identity of the run that it must be of; None where that is not known.

    Raises
    ------
    DataError
        If it is damaged, or of another run.
    """
    arrays, meta = read_arrays(path)
    facts = _facts(meta, _StateFacts, path)
    _check_identity(facts.of, of, path)
    _check_history(facts.history, path)
    if facts.optimiser not in OPTIMISERS or facts.phase not in range(len(PHASES) + 1) or facts.epoch < 0:
        raise DataError(
            f"optimiser {facts.optimiser!r}, phase {facts.phase}, epoch {facts.epoch}", path=path, fix=AGAIN
        )
    _check_row(facts.best_epoch, facts.history, path)

    def group(prefix: str) -> dict[str, np.ndarray]:
        return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

    for key, values in arrays.items():
        if not _of_jax(values):
            problem = f"{key} is {values.dtype}, and must hold numbers of 64 bits at most in this machine's byte order"
            raise DataError(problem, path=path, fix=AGAIN)
    params = group("params/")
    for prefix in ("best/", "mu/", "nu/"):
        found = group(prefix)
        if found or prefix == "nu/" or (prefix == "mu/" and facts.optimiser == "adam"):
            check_arrays(found, params, path, prefix, unsigned=prefix == "best/")
    if "count" in arrays and (arrays["count"].shape or arrays["count"].dtype.kind not in "iu"):
        raise DataError(f"count is {arrays['count'].dtype} {arrays['count'].shape}", path=path, fix=AGAIN)
    try:
        moments = state_from_arrays(facts.optimiser, arrays)
    except DataError as error:
        raise DataError(str(error), path=path, fix=AGAIN) from error
    return FitState(
        params={key: jnp.asarray(value) for key, value in params.items()},
        optimiser=moments,
        best_params=group("best/"),
        phase=facts.phase,
        epoch=facts.epoch,
        best_value=float("-inf") if facts.best_value is None else facts.best_value,
        best_epoch=facts.best_epoch,
        since_best=facts.since_best,
        finished=facts.finished,
        history=facts.history,
        rates=facts.rates,
    )


def check_state(state: FitState, params: Params, trained: Sequence[str], path: Path) -> None:
    """Check that a checkpoint is of the trained groups of these parameters.

    Raises
    ------
    DataError
        Names the array that is absent, unknown, or of another size or kind.
    """
    keys = [key_of(group, params) for group in trained]
    check_arrays(state.params, {key: params[key] for key in keys if key in params}, path, "params/")


def ended_training(meta: Mapping[str, Any], path: Path, of: str | None) -> EndedTraining:
    """Return what `parameters.npz` says of training; arguments as of `read_state`.

    Raises
    ------
    DataError
        If it is damaged, or of another run.
    """
    ended = _facts(meta, EndedTraining, path)
    _check_identity(ended.of, of, path)
    _check_history(ended.history, path)
    _check_row(ended.best_epoch, ended.history, path)
    return ended


def check_arrays(
    found: Mapping[str, Any], expected: Mapping[str, Any], path: Path, prefix: str = "", *, unsigned: bool = True
) -> None:
    """Check that a file has the arrays that it should have: no others, of their sizes, finite, weights not negative.

    Raises
    ------
    DataError
        Names the array.
    """

    def fail(key: str, problem: str) -> None:
        raise DataError(f"{prefix}{key} {problem}", path=path, fix=AGAIN)

    for key in dict.fromkeys([*expected, *found]):
        if key not in found:
            fail(key, "is not there")
        if key not in expected:
            fail(key, "is not of this fit")
        array, like = np.asarray(found[key]), np.asarray(expected[key])
        if array.shape != like.shape or array.dtype.kind != like.dtype.kind or not _of_jax(array):
            fail(key, f"is {array.dtype} of shape {array.shape}, not {like.dtype} of shape {like.shape}")
        if not np.isfinite(array).all():
            fail(key, f"has {int((~np.isfinite(array)).sum())} values that are not finite")
        if unsigned and key in _UNSIGNED and array.size and array.min() < 0:
            fail(key, f"has {int((array < 0).sum())} values below 0: signs are those of the neurons")


def _of_jax(values: np.ndarray) -> bool:
    """Whether JAX has numbers of this type, in this byte order."""
    return values.dtype.kind in "fiu" and values.dtype.itemsize <= 8 and values.dtype.isnative


def check_wiring(found: Connectome, expected: Connectome, path: Path) -> None:
    """Check that a connectome that was read from a run is the one that was fitted.

    Raises
    ------
    DataError
        If it is another.
    """
    parts = ("indptr", "indices", "counts", "signs", "electrical", "mixed_signs", "ids")
    if not all(np.array_equal(getattr(found, part), getattr(expected, part)) for part in parts):
        raise DataError("not the connectome that was fitted", path=path, fix=AGAIN)


def _facts(meta: Any, kind: type[Any], path: Path) -> Any:
    try:
        return as_result(meta, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"damaged, or not written by connfit ({error})", path=path, fix=AGAIN) from error


def _check_identity(found: str | None, of: str | None, path: Path) -> None:
    if found is not None and of is not None and found != of:
        raise DataError("of another run: of other options or other data", path=path, fix=AGAIN)


def _check_history(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    for number, row in enumerate(history):
        if set(row) != set(history[0]) or not {"phase", "seconds", "selection"} <= set(row):
            raise DataError(f"row {number} of its history has the columns {', '.join(row)}", path=path, fix=AGAIN)


def _check_row(best: int | None, history: Sequence[object], path: Path) -> None:
    if best is not None and not -1 <= best < len(history):
        raise DataError(f"best_epoch is {best}, of {len(history)} epochs", path=path, fix=AGAIN)
