"""How the recording sees neurons: learned time constants of the indicator beside the preset, gains, noise."""

from __future__ import annotations

from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.observation_found import Found
from connfit.report import page
from connfit.report.wording import number


def observation_blocks(evaluation: Evaluation) -> list[str]:
    """Return a table of what was found; nothing without an observation model."""
    found = evaluation.observation
    if found is None:
        return []
    rows = [
        [f"{group.replace('_', ' ')} (s)", number(found.preset_s.get(group)), *_cells(values)]
        for group, values in found.time_constants_s.items()
    ]
    rows += [[f"gain of the {state}", number(None), *_cells(values)] for state, values in found.gains.items()]
    if found.noise_scale is not None:
        rows.append(["scale of noise (changes per frame)", number(None), *_cells(found.noise_scale)])
    caption = f"Observation: {found.indicator}. {found.source}".strip()
    heads = ["", "preset", "start", "fitted, 10 %", "median", "90 %"]
    return [page.heading("How recordings see neurons"), page.table(heads, rows, caption=caption)]


def _cells(found: Found) -> list[str]:
    return [number(found.start), *map(number, found.fitted)]
