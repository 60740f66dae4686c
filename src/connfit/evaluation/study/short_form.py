"""The short form of a study, which `metrics.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def compact(study: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a study that `metrics.json` holds: means, spread, differences, verdict."""
    rows = [
        {
            "name": row["name"],
            "group": row["group"],
            "seeds": len(row["seeds"]),
            "parameters": (row["parameters"] or {}).get("all"),
            "parameters_available": (row["parameters_available"] or {}).get("all"),
            **{key: row[key] for key in ("counts", "mark", "note", "trained", "vacuous", "diverged", "recipe")},
            "fit_seconds": row["fit_seconds"],
            "scores": {
                key: {part: score[part] for part in ("mean", "std", "low", "high")}
                for key, score in row["scores"].items()
            },
            "difference": row["difference"] and {h: _short(one) for h, one in row["difference"].items()},
            **({"reason": row["reason"]} if row["reason"] else {}),
        }
        for row in study["rows"]
    ]
    kept = ("part", "seeds", "recordings", "recordings_available", "weight_spread", "budget", "verdict")
    return {
        **{key: study[key] for key in kept},
        "rows": rows,
        "strongest": {
            h: one and {**one, "difference": _short(one["difference"])} for h, one in study["strongest"].items()
        },
        "comparisons": study["comparisons"]["text"],
        "reproducibility": {key: study["reproducibility"].get(key) for key in ("groups", "predictions", "flat")},
    }


def _short(difference: Mapping[str, Any]) -> dict[str, Any]:
    """A difference without its details."""
    units = ("value", "low", "high", "excludes_zero", "outcome", "units", "ahead", "behind", "sign_p", "wilcoxon_p")
    pooled = ("value", "low", "high", "excludes_zero", "pooled_outcome", "outcome")
    return {
        **{key: difference[key] for key in pooled},
        "median_unit": {key: difference["median_unit"][key] for key in units},
    }
