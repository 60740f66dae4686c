"""The report's section on how the fitted model spikes, from `analysis/analysis.json`; of cells that spike alone."""

from __future__ import annotations

from collections.abc import Mapping

from connfit.analysis.brain_analysis import Analysis
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.fitted_spikes_figures import fitted_raster_figure, spike_statistics_figure
from connfit.report.prose import write_prose
from connfit.report.run_files import ANALYSIS
from connfit.report.wording import number

TITLE = "How the fitted model spikes"


def fitted_spikes_drawings(analysis: Analysis) -> list[Drawing]:
    """Return the raster, and histograms of rates and of CVs; none of cells that do not spike."""
    found = analysis.spikes
    if found is None or found.reason is not None:
        return []
    captions = _captions(analysis)
    return [
        Drawing("spike_raster", captions["spike_raster"], None, lambda: fitted_raster_figure(found)),
        Drawing("spike_statistics", captions["spike_statistics"], None, lambda: spike_statistics_figure(found)),
    ]


def fitted_spikes_blocks(analysis: Analysis) -> list[str]:
    """Return the section as HTML blocks without its figures: what was run, then the table."""
    if analysis.spikes is None:
        return []
    captions = _captions(analysis)
    words = [page.paragraph(captions["what_was_run"])]
    if analysis.spikes.reason is not None:
        return words
    rows = [[name, *cells] for name, cells in _rows(analysis).items()]
    header = ["", "fitted model", "what it is read against"]
    return [*words, page.table(header, rows, caption=captions["spike_table"])]


def _captions(analysis: Analysis) -> Mapping[str, str]:
    prose = write_prose("sections/fitted_spikes.j2", {ANALYSIS: analysis})
    return {name: " ".join(str(text).split()) for name, text in prose.settings.items()}


def _rows(analysis: Analysis) -> Mapping[str, tuple[str, str]]:
    found = analysis.spikes
    assert found is not None
    rates, together, intervals = found.rate_hz, found.synchrony, found.intervals
    spread = "–"
    if rates.mean:
        low, middle, high = (rates.quantiles[rates.probabilities.index(share)] for share in (0.25, 0.5, 0.75))
        spread = f"{number(middle)} ({number(low)} to {number(high)})"

    def share(neurons: int) -> str:
        return f"{neurons:,} ({neurons / found.neurons:.1%})"

    def quartiles(values: tuple[float, ...] | None) -> str:
        return "–" if values is None else f"{values[1]:.2f} ({values[0]:.2f} to {values[2]:.2f})"

    fewest = f"of {intervals.neurons:,} neurons with {intervals.least} or more intervals; Poisson process: 1, clock: 0"
    limit = "–" if found.limit_hz is None else f"above {found.at_limit_share:.0%} of {found.limit_hz:.4g} Hz"
    return {
        "neurons, spikes": (f"{found.neurons:,}, {found.spikes:,}", f"in {found.seconds:.4g} s"),
        "rate, mean (Hz)": (number(rates.mean), "all neurons"),
        "rate, median and quartiles (Hz)": (spread, "neurons that spike"),
        "rate, highest (Hz)": (number(rates.maximum), ""),
        "silent neurons": (share(found.silent), f"no spike in {found.seconds:.4g} s"),
        "neurons at the refractory limit": (share(found.at_limit), limit),
        "CV of intervals, median and quartiles": (quartiles(intervals.cv), fewest),
        "CV2 of intervals, median and quartiles": (quartiles(intervals.cv2), "slow changes of the rate left out"),
        "synchrony χ": (
            number(together.chi),
            f"independent trains: {number(together.independent)}; all together: 1",
        ),
        "covariance of pairs over variance": (number(together.pair_correlation), "independent trains: 0"),
    }
