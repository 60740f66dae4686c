"""How the recording sees neurons: time constants of the indicator beside the preset, learned or not; gains; noise."""

from __future__ import annotations

from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.observation_found import Found, ObservationFound
from connfit.models.base import INNOVATION_GAINS, NOISE_SCALE
from connfit.models.observation import INDICATOR_GROUPS
from connfit.report import page
from connfit.report.wording import number


def observation_blocks(evaluation: Evaluation) -> list[str]:
    """Return a table of what was found; nothing without an observation model."""
    found = evaluation.observation
    if found is None:
        return []
    rows = []
    for group in INDICATOR_GROUPS:
        name, preset, values = (
            f"{group.replace('_', ' ')} (s)",
            found.preset_s.get(group),
            found.time_constants_s.get(group),
        )
        if values is not None:
            rows.append([name, _how(found, group), number(preset), *_cells(values)])
        elif preset is not None:
            rows.append([name, "over within a step, left out", number(preset), *[number(None)] * 4])
    how = _how(found, INNOVATION_GAINS)
    rows += [[f"gain of the {state}", how, number(None), *_cells(values)] for state, values in found.gains.items()]
    if found.noise_scale is not None:
        how = _how(found, NOISE_SCALE)
        rows.append(["scale of noise (changes per frame)", how, number(None), *_cells(found.noise_scale)])
    caption = f"Observation: {found.indicator}. {found.source}".strip()
    heads = ["", "", "preset", "start", "fitted, 10 %", "median", "90 %"]
    return [page.heading("How recordings see neurons"), page.table(heads, rows, caption=caption)]


def _how(found: ObservationFound, group: str) -> str:
    return "learned" if group in found.learned else "known, as given" if group in INDICATOR_GROUPS else "as it started"


def _cells(found: Found) -> list[str]:
    return [number(found.start), *map(number, found.fitted)]
