"""The figures of one run directory, with captions: from arrays on disk to named figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from connfit.evaluation.connectivity import compared_connectivity, compared_units
from connfit.evaluation.forecasts import PartForecast, RecordingForecast
from connfit.evaluation.free_run import LONGEST_RUN
from connfit.evaluation.held_out import HELD_OUT, mean_of_connectivities
from connfit.evaluation.metrics import fc_corr, unit_correlations
from connfit.evaluation.unit_scores import skill_over_simple
from connfit.recordings import hold_last
from connfit.report.figures import distribution_figures, prediction_figures
from connfit.report.run_files import RunFiles
from connfit.report.sections.comparison import comparison
from connfit.report.wording import joined_span, number, pretty
from connfit.training.learning_rates import TRIAL

_FORECASTS, _PARAMETERS = ("forecasts.npz",), ("parameters.npz", "parameters_initial.npz")


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure that is drawn when asked for.

    Parameters
    ----------
    name
        File name without ending.
    caption
        What is shown, in words.
    recording
        The recording it belongs to; None for the whole fit.
    draw
        Makes the figure.
    fold
        Words on which a click shows it; empty: it is seen at once.
    sources
        Files of the run directory that it shows: while they are older than a picture of it, that is kept. Empty: it is
        drawn each time.
    """

    name: str
    caption: str
    recording: str | None
    draw: Callable[[], Figure]
    fold: str = ""
    sources: tuple[str, ...] = ()


def drawings(run: RunFiles) -> Iterator[Drawing]:
    """Return all figures that the files of a run allow."""
    if any(row.key[0] == "horizon_skill" for row in comparison(run.evaluation)):
        yield _horizon(run)
    if run.history:
        yield _history(run)
    if run.forecasts:
        for index, (name, forecast) in enumerate(run.forecasts.recordings.items()):
            suffix = f"_{index}" if len(run.forecasts.recordings) > 1 else ""
            if forecast.parts["test"].values.shape[0]:
                yield _traces(name, forecast, suffix)
                yield _connectivity(name, forecast, suffix)
        for index, (name, forecast) in enumerate(run.forecasts.held_out.items()):
            suffix = "_held_out" + (f"_{index}" if len(run.forecasts.held_out) > 1 else "")
            if forecast.parts[HELD_OUT].values.shape[0]:
                yield _traces(name, forecast, suffix, HELD_OUT)
                yield _held_out_connectivity(name, forecast, run.forecasts.recordings, suffix)
    before, after = run.initial_parameters, run.parameters
    if "weights" in before and "weights" in after:
        yield _weights(before["weights"], after["weights"])
    if "time_constants" in before and "time_constants" in after:
        yield _time_constants(before["time_constants"], after["time_constants"])


def persistence_of(part: PartForecast) -> np.ndarray:
    """Predict persistence within a part; the first frame has none, for the frame before it is not kept."""
    held = hold_last(np.asarray(part.values[:]), np.asarray(part.mask[:]))
    return np.concatenate([np.full((1, held.shape[1]), np.nan), held[:-1]])


def _horizon(run: RunFiles) -> Drawing:
    curves: dict[str, dict[int, float | None]] = {}
    for row in comparison(run.evaluation):
        if row.key[0] == "horizon_skill":
            for name, value in row.values.items():
                curves.setdefault(name, {})[int(row.key[1])] = value
    # Colours belong to the names of the baselines, not to how they are written.
    names = {pretty(name): name for name in run.evaluation.baselines}
    curves = {names.get(name, name): curve for name, curve in curves.items()}
    rates = [scores.frame_rate for scores in run.evaluation.recordings.values() if scores.frame_rate]
    rate = float(np.mean(rates)) if rates and max(rates) <= 1.01 * min(rates) else None
    starts = run.evaluation.part("test").horizon.starts
    caption = (
        "Skill over persistence on the test part against how many frames ahead is predicted"
        + (f", from {starts:,} start frames that are the same for all" if starts else "")
        + ". 0 is as good as repeating the last frame, 1 is perfect. Values below −1 are drawn at −1, with their "
        "number."
    )
    return Drawing("horizon_skill", caption, None, lambda: prediction_figures.horizon_skill(curves, frame_rate=rate))


def _history(run: RunFiles) -> Drawing:
    history = run.history
    epochs = history.get("epoch") or list(range(len(next(iter(history.values())))))
    blank = [float("nan")] * len(epochs)

    def draw() -> Figure:
        return prediction_figures.loss_history(
            epochs,
            history.get("train_loss", blank),
            history.get("validation_loss", blank),
            history.get("validation_skill", blank),
            [str(phase) for phase in history.get("phase", [""] * len(epochs))],
        )

    phases = [phase for phase in dict.fromkeys(map(str, history.get("phase", []))) if phase != TRIAL]
    caption = (
        "Left: training and validation loss by epoch. Right: one-step skill over persistence on the validation part."
    )
    trials = sum(phase == TRIAL for phase in history.get("phase", []))
    if trials:
        caption += (
            f" The first {trials} epochs, in grey, are those of the best {TRIAL}; the schedule after them begins "
            "again at the start."
        )
    if len(phases) > 1:
        caption += (
            f" The schedule had the phases {' and '.join(phases)}; the second is shaded, and its training loss is of "
            "another task."
        )
    return Drawing("loss_history", caption, None, draw, sources=("history.csv",))


def _traces(name: str, forecast: RecordingForecast, suffix: str, which: str = "test") -> Drawing:
    whole = forecast.parts[which]
    part = whole.first(LONGEST_RUN)
    label = "activity" if forecast.value_units in ("", "dimensionless") else f"activity ({forecast.value_units})"

    def draw() -> Figure:
        return prediction_figures.traces(
            np.asarray(part.values),
            np.asarray(part.mask),
            np.asarray(part.one_step),
            np.asarray(part.free_run),
            units=forecast.units,
            frame_rate=forecast.frame_rate,
            start=part.start,
            skill=skill_over_simple(np.asarray(part.values), part.one_step, persistence_of(part), part.mask),
            correlation=unit_correlations(part.values, part.free_run, part.mask),
            deterministic=None if part.free_run_deterministic is None else np.asarray(part.free_run_deterministic),
            value_label=label,
        )

    frames = part.values.shape[0]
    shown = (
        "the whole test part" if frames == whole.values.shape[0] else f"the first {frames:,} frames of the test part"
    )
    caption = (
        f"{_titled(name, which)}, test part: the data and what the model predicts. Left: predicted one frame ahead "
        f"(the first {min(frames, prediction_figures.ONE_STEP_FRAMES)} frames), for the units of highest, "
        "median and lowest one-step skill over the better of persistence and the unit's own mean (for noise without "
        "memory that is the mean, which nothing beats). Right: the same units over "
        f"{shown} test part, {_free_run_panels(part)}. Gaps in the data are frames that were not observed. "
        "Time is counted from the start of the recording."
    )
    return Drawing(f"traces{suffix}", caption, _titled(name, which), draw, sources=_FORECASTS)


def _titled(name: str, which: str) -> str:
    return f"{name} (held out)" if which == HELD_OUT else name


def _free_run_panels(part: PartForecast) -> str:
    after = f"after {part.warmup_frames} recorded frames of warm-up"
    if part.free_run_deterministic is None:
        return f"in free run without noise, {after}"
    if not np.isfinite(part.free_run[:]).any():
        return f"above the data, below the free run without noise, {after}; there was no run with noise to show"
    return (
        f"above the data, below, on the same scale, one of {part.runs} simulated runs that are driven by one-step "
        f"errors of training frames drawn at random, {after}, and dashed the free run without noise. A simulated run "
        "is not expected to follow the data in time, only to look like them"
    )


def _connectivity(name: str, forecast: RecordingForecast, suffix: str) -> Drawing:
    train, test = forecast.parts["train"], forecast.parts["test"]
    units = [forecast.units[k] for k in compared_units(len(forecast.units))]
    data_train = compared_connectivity(train.values, train.mask)
    data_test = compared_connectivity(test.values, test.mask)
    free = test.free_run_connectivity
    itself, ours = fc_corr(data_train, data_test), fc_corr(data_test, free)
    if test.free_run_noise == "none":
        short, which = "model, free run without noise", "model's free run without noise over the test part"
    else:
        runs = f"{test.runs} simulated runs" if test.runs != 1 else "1 simulated run"
        short = f"model, {runs}, test"
        frames = min(test.values.shape[0], LONGEST_RUN)
        length = "the test part's length" if frames == test.values.shape[0] else f"{frames:,} frames"
        which = f"model, mean over {runs} of {length} driven by one-step errors of training frames"

    def draw() -> Figure:
        panels = {
            "data, train": data_train,
            f"data, test\n{number(itself.value)} with train": data_test,
            f"{short}\n{number(ours.value)} with data, test": free,
        }
        return prediction_figures.connectivities(panels, order=prediction_figures.unit_order(data_train), units=units)

    caption = (
        f"{name}: functional connectivity (Pearson correlation over time) of the data's training part, the data's "
        f"test part and the {which}. Units in the same order everywhere, clustered on the data's "
        "training part; grey is undefined. "
        f"Correlation of upper triangles: data against itself {_words(itself)}, model against data {_words(ours)}."
    )
    return Drawing(f"functional_connectivity{suffix}", caption, name, draw, sources=_FORECASTS)


def _held_out_connectivity(
    name: str, forecast: RecordingForecast, others: Mapping[str, RecordingForecast], suffix: str
) -> Drawing:
    part = forecast.parts[HELD_OUT]
    trained = [(recording.units, recording.parts["train"]) for recording in others.values()]
    units = [forecast.units[k] for k in compared_units(len(forecast.units))]
    copied = mean_of_connectivities([(names, train.values, train.mask) for names, train in trained], units)
    data, free = compared_connectivity(part.values, part.mask), part.free_run_connectivity
    theirs, ours = fc_corr(copied, data), fc_corr(free, data)

    def draw() -> Figure:
        panels = {
            f"training animals\n{number(theirs.value)} with data, test": copied,
            "data, test": data,
            f"model, test\n{number(ours.value)} with data, test": free,
        }
        return prediction_figures.connectivities(panels, order=prediction_figures.unit_order(data), units=units)

    caption = (
        f"{_titled(name, HELD_OUT)}: functional connectivity of the training animals (mean over their training parts), "
        "of the animal's own test part, and of the model's free run over it. Units in the same order everywhere, "
        "clustered on the test part; grey is undefined. Correlation of upper triangles with the data's test part: "
        f"training animals {_words(theirs)}, model {_words(ours)}."
    )
    return Drawing(f"functional_connectivity{suffix}", caption, _titled(name, HELD_OUT), draw, sources=_FORECASTS)


def _words(measured: Any) -> str:
    return number(measured.value) if measured.value is not None else f"not defined ({measured.reason})"


def _weights(before: np.ndarray, after: np.ndarray) -> Drawing:
    pruned = int(((after == 0) & (before != 0)).sum())
    caption = (
        f"Weights of {after.size:,} connections before and after the fit (magnitudes; signs are fixed). Left: "
        "distribution, both axes "
        f"logarithmic. Right: after against before, dashed where nothing changed. {pruned:,} connections were "
        "driven to 0 by the fit."
    )
    return Drawing("weights", caption, None, lambda: distribution_figures.weights(before, after), sources=_PARAMETERS)


def _time_constants(before: np.ndarray, after: np.ndarray) -> Drawing:
    low, middle, high = np.percentile(after, [5, 50, 95])
    caption = (
        f"Time constants of {after.size:,} neurons before and after the fit. After: median {middle:.3g} s, "
        f"5 to 95 % {'all ' if f'{low:.3g}' == f'{high:.3g}' else 'between '}"
        f"{joined_span(f'{low:.3g}', f'{high:.3g}', ' and ')} s."
    )
    return Drawing(
        "time_constants", caption, None, lambda: distribution_figures.time_constants(before, after), sources=_PARAMETERS
    )
