"""Results in a run directory against the JSON Schemas in docs/."""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from connfit.report.result_types import RESULTS

SCHEMAS = Path(__file__).parent.parent / "docs" / "schema"


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / name).read_text(encoding="utf-8")))


def valid_results(folder: Path) -> set[str]:
    """Validate every result of a run directory and return their names."""
    found = [path for pattern in RESULTS for path in folder.glob(pattern)]
    for path in found:
        validator(path.name).validate(json.loads(path.read_text(encoding="utf-8")))
    return {path.name for path in found}
