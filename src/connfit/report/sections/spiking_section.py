"""The figures of an experiment on a spiking network, with captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from connfit._io import read_json
from connfit.analysis.spiking.spiking_results import FILE, SpikingSimulation
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.spiking_figures import (
    active_figure,
    dose_figure,
    raster_figure,
    screen_figure,
    what_was_done,
)

_INTERVALS = "Bars: 95 % intervals of the mean over trials (Student's t)"


def drawings(folder: Path) -> Iterator[Drawing]:
    """Draw what `spiking.json` and `spikes.parquet` of a folder hold."""
    done = read_json(folder / FILE, SpikingSimulation)
    spikes = pd.read_parquet(folder / "spikes.parquet")
    title = what_was_done(done)
    caption = f"Spikes of the first trial at the last dose. {title}"
    yield Drawing("spiking_raster", caption, None, lambda: raster_figure(done, spikes))
    if len(done.doses) > 1:
        caption = f"Rates of read-outs by rate of stimulation, and how many neurons spike. {_INTERVALS}. {title}"
        yield Drawing("spiking_doses", caption, None, lambda: dose_figure(done))
    caption = f"The most active neurons that were not stimulated: mean rates over trials. {title}"
    yield Drawing("spiking_active", caption, None, lambda: active_figure(done))
    if done.screen is not None:
        caption = (
            "What silencing changes: differences to the same trials with nobody silenced, the largest first. Thick: "
            f"95 % interval of each; thin: of all {len(done.screen.rows)} together, coloured where it leaves out 0. "
            f"{title}"
        )
        yield Drawing("spiking_screen", caption, None, lambda: screen_figure(done))
