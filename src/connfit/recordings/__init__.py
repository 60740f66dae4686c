"""Recordings of activity, their parts, and cohorts of animals in one space of units.

`readers` has one file a format, `preprocess` one function a step. A reader returns a `Recording`; a step returns a
new one with its constants appended to `Recording.steps`. Nothing here knows of models.
"""

from __future__ import annotations

from connfit.recordings.inputs import Inputs
from connfit.recordings.recording import PART_NAMES, Parts, Recording, hold_last

__all__ = ["PART_NAMES", "Inputs", "Parts", "Recording", "hold_last"]
