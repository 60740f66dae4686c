"""How long the stages of a command took, as it says at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connfit._system import stages
from connfit._system.stages import measured_stages, stage, stages_so_far, told


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [0.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: now[0])
    yield now


def test_time_inside_another_stage_is_counted_once(clock: list[float]) -> None:
    with measured_stages() as seconds:
        with stage("reading"):
            clock[0] += 1
            with stage("start"):
                clock[0] += 20
            clock[0] += 2
        with stage("reading"):
            clock[0] += 4
        clock[0] += 100
        assert dict(stages_so_far()) == {"reading": 7, "start": 20}
    assert seconds == {"reading": 7, "start": 20} and not stages_so_far()


def test_a_stage_that_fails_has_taken_its_time(clock: list[float]) -> None:
    with measured_stages() as seconds:
        with pytest.raises(KeyError), stage("reading"):
            clock[0] += 3
            raise KeyError
    assert seconds == {"reading": 3}


def test_nothing_is_measured_unless_a_command_asks(clock: list[float]) -> None:
    with stage("reading"):
        clock[0] += 1
    assert not stages_so_far()


def test_short_stages_are_told_together() -> None:
    assert told({"reading": 0.25, "start": 20.0, "training": 1200.0, "report": 0.5}) == (
        "1,221 s (start 20 s, training 1,200 s, others 0.8 s)"
    )
    assert told({"reading": 0.25}) == "0.2 s (reading 0.2 s)"
