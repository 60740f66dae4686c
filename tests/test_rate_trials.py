"""Trials of learning rates at once: what comes of them is what comes of one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Literal

import jax
import pytest
from small import student

from connfit._system import side_by_side as module
from connfit._system.side_by_side import side_by_side
from connfit.config import TrainConfig
from connfit.errors import DivergedError
from connfit.training import rate_trials
from connfit.training.fit import train
from connfit.training.fitted import Fit
from connfit.training.learners import WindowedLearner
from connfit.training.trainer import PHASES, Trainer
from connfit.training.validation import Validation


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 3)
    for name in ("NPROC", "CONNFIT_THREADS"):
        monkeypatch.delenv(name, raising=False)


def test_tasks_run_at_once_and_come_in_order() -> None:
    meet = threading.Barrier(3, timeout=30)

    def do(task: int, _: Callable[[], None]) -> int:
        meet.wait()
        return -task

    assert list(side_by_side(do, [3, 1, 2], 8)) == [-3, -1, -2]


@pytest.mark.parametrize("limit", ["NPROC", "CONNFIT_THREADS", "most"])
def test_one_after_the_other_where_one_thread_computes(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if limit != "most":
        monkeypatch.setenv(limit, "1")
    begun: list[int] = []
    found = side_by_side(
        lambda task, _: begun.append(task) or threading.current_thread(), [1, 2], (limit != "most") * 7 + 1
    )
    assert next(found) is threading.current_thread()
    assert begun == [1]  # the next begins when it is asked for


def test_what_holds_for_this_thread_holds_for_the_tasks() -> None:
    chosen: ContextVar[str] = ContextVar("chosen", default="nothing")
    chosen.set("this")
    assert set(side_by_side(lambda *_: chosen.get(), [1, 2, 3], 3)) == {"this"}
    with jax.enable_x64(not jax.config.jax_enable_x64):
        here = jax.config.jax_enable_x64
        assert set(side_by_side(lambda *_: jax.config.jax_enable_x64, [1, 2, 3], 3)) == {here}


def test_an_error_ends_the_others() -> None:
    ended = threading.Event()

    def do(task: int, check: Callable[[], None]) -> None:
        if task == 0:
            raise DivergedError("this", epoch=0)
        try:
            while True:
                check()
        finally:
            ended.set()

    with pytest.raises(DivergedError, match="this"):
        list(side_by_side(do, [0, 1], 2))
    assert ended.is_set()


def test_trials_at_once_find_what_trials_in_turn_find(monkeypatch: pytest.MonkeyPatch) -> None:
    made, at_once = student(), []

    def fitted(room: int) -> Fit:
        monkeypatch.setattr(rate_trials, "BESIDE_BYTES", room)
        return train(made.model, made.params, made.cohort, WindowedLearner(8), TrainConfig(epochs=2), seed=3)

    watched = rate_trials.side_by_side
    monkeypatch.setattr(rate_trials, "side_by_side", lambda *given: at_once.append(given[2]) or watched(*given))
    in_turn, beside = fitted(0), fitted(2**26)
    assert at_once[0] == 1 < 3 <= at_once[-1]
    assert in_turn.rates == beside.rates
    clock = {"ms_per_step", "seconds"}
    for one, other in zip(in_turn.history, beside.history, strict=True):
        assert {key: one[key] for key in one if key not in clock} == {k: other[k] for k in other if k not in clock}
    for key, value in in_turn.params.items():
        assert (value == beside.params[key]).all()


@pytest.mark.parametrize(("rate", "epochs"), [("auto", 8), (0.01, 2)])
def test_trials_ahead_of_its_first_epochs_do_not_stop_a_fit(
    rate: float | Literal["auto"], epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rates fall to the end in a few epochs. Without trials the start is what must be beaten."""
    own = iter([0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.14, 0.14])

    def value(trainer: Trainer, params: dict) -> Validation:
        at_start = (params["bias"] == made.params["bias"]).all()
        found = 0.5 if at_start else 0.9 if trainer.config.patience is None else next(own)
        return Validation(found, found)

    made = student()
    monkeypatch.setattr(Trainer, "validate", value)
    config = TrainConfig(epochs=20, free_run_epochs=0, patience=2, learning_rate=rate)
    fit = train(made.model, made.params, made.cohort, WindowedLearner(8), config)
    rows = [row["selection"] for row in fit.history if row["phase"] == PHASES[0]]
    assert len(rows) == epochs and rows[0] == 0.10
    assert (len(fit.history) > epochs) == (rate == "auto")
