"""Readers of connectomes and recordings, and the named datasets.

Importing this package reads no file and opens no connection.
"""

from __future__ import annotations

from connfit.data.load import (
    connectome_from_config,
    list_datasets,
    load_connectome,
    load_recording,
    load_recordings,
    read_recording,
    recordings_from_config,
)
from connfit.data.registry import DATASETS, Dataset, DatasetStatus, info, locate, status
from connfit.data.signs import assign_signs
from connfit.data.tables import connectome_from_tables

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetStatus",
    "assign_signs",
    "connectome_from_config",
    "connectome_from_tables",
    "info",
    "list_datasets",
    "load_connectome",
    "load_recording",
    "load_recordings",
    "locate",
    "read_recording",
    "recordings_from_config",
    "status",
]
