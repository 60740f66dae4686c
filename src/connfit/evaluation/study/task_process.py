"""A process that does tasks of a study, and what it says about them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from connfit.evaluation.study.messages import Failed, Failure, Finished, Progress, Started, decoded
from connfit.evaluation.study.tasks import Task


class TaskProcess:
    """A process that is started with its first task, does one after the other, and is started anew where it died.

    Parameters
    ----------
    log
        File for what the process writes on its error stream.
    environment
        Its whole environment.
    """

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self._log, self._environment = log, dict(environment)
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        process = self._process
        return None if process is None else process.pid

    def do(self, task: Task, on_progress: Callable[[Progress], None]) -> Finished | Failed:
        """Have a task done; return what became of it. A failure for which the process died may be tried again."""
        process = self._process = self._alive()
        if self._stopped:  # between the start of the process and its being known to `stop`
            process.kill()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(task).decode() + "\n")
            process.stdin.flush()
            for line in process.stdout:
                match decoded(line):
                    case Finished() | Failed() as ended:
                        return ended
                    case Progress() as now:
                        on_progress(now)
                    case Started():
                        pass
        except BrokenPipeError:
            pass
        code = self.close()
        end = f"by signal {-code}, as where memory runs out" if code < 0 else f"with code {code}"
        return Failed(task.name, Failure(f"its process ended {end}; see {self._log}", again=not self._stopped))

    def stop(self) -> None:
        """Kill the process, in the middle of a fit too: its checkpoints are enough to go on from."""
        self._stopped = True
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def close(self) -> int:
        """Wait for the process, which ends where its input does; return its exit code."""
        if self._process is None:
            return 0
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        code = self._process.wait()
        self._process = None
        return code

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is not None:
            return self._process
        command = [sys.executable, "-m", "connfit.evaluation.study.worker"]
        with self._log.open("a") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )
