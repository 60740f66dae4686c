"""What is read of `record.json`, of any version, and whether the options beside it are still those of the fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connfit import config as configuration
from connfit._io import read_json
from connfit.config import FALLBACK, Config
from connfit.errors import ConfigError, DataError
from connfit.training.recipe import Recipe, automatic
from connfit.training.run_record import RECORD

FREE = (
    "evaluate", "train.checkpoint_every", "train.check_memory", "train.devices", "data.connectome.edges",
    "data.connectome.neurons", "data.recording_files.files", "data.saved",
)  # fmt: skip
"""Options that may change while a run exists: how it is scored, how often, with what care and on how many devices it is
fitted, and where its data lie, whose content has a fingerprint."""

NEW_RUN = "A run keeps the options of its fit: set them back, or start a new run"


@dataclass(frozen=True)
class RecordedConnectome:
    """What is read of `connectome`."""

    name: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def null(self) -> Mapping[str, Any]:
        """Notes of the null connectome; empty for a real one."""
        notes = self.notes.get("null")
        return notes if isinstance(notes, Mapping) else {}


@dataclass(frozen=True)
class Recorded:
    """What is read of `record.json`; earlier versions wrote less.

    Parameters
    ----------
    data_fingerprint, neurons_fingerprint
        Of wiring, signs and recordings, and of the whole neuron table; None where that was not written.
    cell_fingerprint
        Of the file of a cell that is not connfit's own; None likewise.
    options
        The configuration of the fit; None likewise.
    """

    data_fingerprint: str | None = None
    neurons_fingerprint: str | None = None
    cell_fingerprint: str | None = None
    options: dict[str, Any] | None = None
    recipe: Recipe | None = None
    connectome: RecordedConnectome = RecordedConnectome()
    parameters: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str | None:
        """Hash of what decides the numbers of the run, which its checkpoints carry; None where it is not known."""
        if self.options is None:
            return None
        decisive = [(key, value) for key, value in configuration.flat(self.options) if not _is_free(key)]
        text = json.dumps([self.data_fingerprint, self.neurons_fingerprint, sorted(decisive)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_record(out: Path) -> Recorded:
    """Read the record of a run directory.

    Raises
    ------
    DataError
        If it is absent or damaged.
    """
    return read_json(out / RECORD, Recorded, fix="Copy the run directory again")


def check_options(config: Config, record: Recorded, out: Path) -> Recipe:
    """Check that a run's options are those of its fit, and return what was chosen for those that say `"auto"`.

    Raises
    ------
    DataError
        Names each option that changed, with its value then and now.
    """
    if record.options is not None:
        try:
            before = configuration.to_dict(configuration.from_dict(record.options))
        except ConfigError as error:
            raise DataError(f"damaged ({error})", path=out / RECORD, fix=NEW_RUN) from error
        changes = configuration.differences(before, configuration.to_dict(config))
        changed = [
            f"{key}: {then!r} then, {now!r} now" for key, then, now in changes if not _may_change(key, then, now)
        ]
        if changed:
            raise DataError("; ".join(changed), path=out / "config.json", fix=NEW_RUN)
    # Runs of versions without a recipe used what it falls back to.
    recipe = record.recipe or Recipe(FALLBACK)
    absent = [name for name in automatic(config.model) if name not in recipe.chosen]
    if absent:
        raise DataError(
            f"recipe.chosen lacks {', '.join(absent)}", path=out / RECORD, fix="Copy the run directory again"
        )
    try:
        recipe.resolve(config.model)
    except ConfigError as error:
        raise DataError(f"recipe.chosen: {error}", path=out / RECORD, fix="Copy the run directory again") from error
    return recipe


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)


def _may_change(key: str, then: Any, now: Any) -> bool:
    files = key == "data.sign_rule" and all(str(rule).lower().endswith(".csv") for rule in (then, now))
    return files or _is_free(key)
