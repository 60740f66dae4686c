"""Everything that decides a run, as frozen values that read and write TOML and JSON.

`sections` has the options with their types, defaults and checks; `plain_values` makes them of plain values;
`config_files` reads and overrides them.
"""

from __future__ import annotations

from connfit.config.config_files import as_json, differences, flat, override, read
from connfit.config.plain_values import from_dict, to_dict
from connfit.config.sections import (
    AUTO,
    FALLBACK,
    OF_EACH_UNIT,
    Config,
    DataConfig,
    EvaluateConfig,
    FileRecordings,
    InputsConfig,
    LearnerConfig,
    ModelConfig,
    ObservationConfig,
    TableConnectome,
    TrainConfig,
)

__all__ = [
    "AUTO",
    "FALLBACK",
    "OF_EACH_UNIT",
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "FileRecordings",
    "InputsConfig",
    "LearnerConfig",
    "ModelConfig",
    "ObservationConfig",
    "TableConnectome",
    "TrainConfig",
    "as_json",
    "differences",
    "flat",
    "from_dict",
    "override",
    "read",
    "to_dict",
]
