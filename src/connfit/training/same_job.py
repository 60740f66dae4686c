"""What processes that fit one model together must have alike."""

from __future__ import annotations

import msgspec

from connfit._system import process_group
from connfit.training.problem import Job
from connfit.training.trainer import FitState


def check_same_job(job: Job, state: FitState | None) -> None:
    """Check that all processes were given the same data, options and checkpoint; do nothing where there is but this.

    Parameters
    ----------
    state
        The checkpoint that they go on from; None: they begin.

    Raises
    ------
    ConfigError
        Names what differs.
    """
    if process_group.alone():
        return
    config = job.config
    options = msgspec.json.encode((job.options, config.inputs, config.learner, config.train, config.seed, job.trained))
    at = "" if state is None else f"{state.phase} {state.epoch} {[row['train_loss'] for row in state.history]}"
    process_group.check_same({"data": job.fingerprint(), "options": options.decode(), "checkpoints": at})
