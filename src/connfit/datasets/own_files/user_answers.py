"""What a user says of files that do not say it themselves, and what is still asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answers:
    """What files cannot say; None and empty: not answered.

    Parameters
    ----------
    edges, neurons
        Which file is the edge table, and which the neuron table.
    columns
        Columns of these tables by role, see `connfit.connectome.formats.connectome_format.COLUMNS`.
    wiring_format, wiring_options
        Format of the connectome, one of `connfit.connectome.formats.FORMATS`, and its options.
    format
        Of all recordings, one of `connfit.recordings.readers.READERS`.
    frame_rate
        Frames per second (Hz) of recordings that do not say it.
    kind
        What the values are, where the file does not say it.
    options
        Further options of readers, as `series`.
    sign_rule, unknown_transmitter
        Signs of neurons, and of those that the rule does not cover.
    leave_out
        Files and folders that are not looked at.
    """

    edges: str | None = None
    neurons: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    frame_rate: float | None = None
    kind: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    sign_rule: str | None = None
    unknown_transmitter: str | None = None
    leave_out: tuple[str, ...] = ()
    wiring_format: str | None = None
    wiring_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What has to be answered before a fit.

    Parameters
    ----------
    option
        Which answer is open: a field of `Answers`, or an option of a reader.
    key
        The option of the configuration that holds it, as `"data.sign_rule"`; empty where several do.
    text
        What is asked, in a line.
    choices
        What it may be, where that is known.
    """

    option: str
    key: str
    text: str
    choices: tuple[str, ...] = ()
