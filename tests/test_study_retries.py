"""What of a study's task is tried again: what another moment or machine may allow, and nothing that stays wrong."""

from __future__ import annotations

import pytest

from connfit import config as configuration
from connfit.errors import BusyError, ConfigError, DataError, DivergedError
from connfit.evaluation.study import worker
from connfit.evaluation.study.messages import Failed, decoded, encoded
from connfit.evaluation.study.tasks import Task


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (BusyError("in use by process 1"), True),
        (OSError(28, "No space left on device"), True),
        (MemoryError(), True),
        (ConfigError("a wrong option"), False),
        (DataError("a damaged file"), False),
        (DivergedError("the loss is not finite", epoch=3), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_may_be_tried_again_says_so_through_the_protocol(
    error: BaseException, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def do(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "do", do)
    task = Task("connectome", "connectome", 3, "nowhere", configuration.from_dict({"data": {}}), "0")
    said = decoded(encoded(worker.outcome(task, lambda _: None)))
    assert isinstance(said, Failed) and said.task == "connectome-seed3"
    assert said.why.again == again and said.why.reason
