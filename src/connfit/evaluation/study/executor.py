"""Where the tasks of a study are done: what an executor promises, and what every process that does tasks is given."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Queue
from typing import Protocol

from connfit._system import hdf5_trial
from connfit.evaluation.study.messages import Message
from connfit.evaluation.study.tasks import Task

ONE_THREAD: Mapping[str, str] = {
    "NPROC": "1",  # threads of XLA's pool on a CPU
    "CONNFIT_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""One thread per process: on brains of hundreds of neurons a second one gains nothing (worm: 20 s with either)."""

COMPILED: Mapping[str, str] = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""Rows with the same shapes run the same programs, which processes share."""

RETRIES = 3
"""Times that a task is tried again whose process or machine was lost, or refused memory or disk."""


class Executor(Protocol):
    """Does the tasks of a study somewhere.

    A task that is lost is done again from its last checkpoint, `RETRIES` times at most.
    """

    @property
    def jobs(self) -> int:
        """Tasks at once."""
        ...

    @property
    def threads(self) -> Mapping[str, str]:
        """Environment of each task's process, beside that of the machine."""
        ...

    def running(self, tasks: Sequence[Task], events: Queue[Message], logs: Path) -> AbstractContextManager[None]:
        """Do tasks while the context lasts.

        Puts `Started`, `Progress`, and at the end `Finished` or `Failed` of each into `events`; leaving the context
        stops what is not done.

        Parameters
        ----------
        logs
            Folder for what processes write on their error streams, and for programs that they have compiled.
        """
        ...


def environment(compiled: Path, threads: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that does tasks.

    Parameters
    ----------
    compiled
        Folder for programs that processes of one machine have compiled.
    threads
        As `ONE_THREAD`; empty where a task is to use all cores.
    """
    return {
        # A user's own folder for compiled programs stays: it may hold these already.
        **COMPILED, "JAX_COMPILATION_CACHE_DIR": str(compiled), **os.environ, **threads,
        # The process that plans the study has read the same files.
        hdf5_trial.VARIABLE: "off",
    }  # fmt: skip
