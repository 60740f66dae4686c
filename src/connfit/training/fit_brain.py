"""The recipe in one call: from a connectome and recordings in Python to a fitted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import msgspec

from connfit._system.claim import claimed
from connfit._system.devices import device_count
from connfit._system.heap import return_freed_pieces
from connfit.config import Config, DataConfig
from connfit.connectome import Connectome
from connfit.datasets.given_data import CUT_OPTIONS, SOURCE_OPTIONS, GivenData, prepare_recordings
from connfit.errors import ConfigError, DataError, one_of
from connfit.recordings import Recording
from connfit.training import runs
from connfit.training.fit import Progress
from connfit.training.fitted import Fit
from connfit.training.memory import check_memory
from connfit.training.problem import Job, build
from connfit.training.progress_display import default_progress

SECTIONS = ("data", "model", "inputs", "learner", "train", "evaluate")


def fit(
    brain: Connectome,
    recordings: Recording | Sequence[Recording],
    *,
    held_out: Sequence[Recording] = (),
    config: Config | None = None,
    out: str | Path | None = None,
    progress: bool | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: object,
) -> Fit:
    """Fit a rate model on a connectome to recordings, as `connfit fit` does.

    Units are matched with neurons or regions, the start of the model and the learning rates are found on training and
    validation frames, and the parameters of the best epoch on validation are kept. Every stage is also there by itself:
    `match_units`, `Cohort`, `Readout`, `RateModel`, `init_params`, `train`; or `prepare_fit`, which does all but train.

    Parameters
    ----------
    brain
        The connectome.
    recordings
        One or several, of animals that share the brain. One without parts is cut (options `train`, `validation`,
        `gap`); one without preprocessing steps gets those of its dataset, by default a scaling (option `preprocess`).
    held_out
        Recordings of other animals, which are only scored.
    config
        Options to start from; its section `data` must not name data.
    out
        Run directory to write while the fit goes on, so that `connfit resume` can continue it; default: none, and
        `Fit.save` writes one afterwards.
    progress
        Whether to show progress; default: in terminals and notebooks.
    on_progress
        Called after every window.
    **options
        Any option of a configuration by its name, for example `epochs=50`, `drive="none"`, `seed=1` (docs/runs.md).

    Raises
    ------
    ConfigError
        If an option is unknown, wrong or of another source of data.
    DataError
        If connectome and recordings do not go together.
    DivergedError
        If training diverges.

    Examples
    --------
    >>> fit = connfit.fit(brain, recording, epochs=50)  # doctest: +SKIP
    """
    with nullcontext() if out is None else claimed(out) as folder, default_progress(progress) as (show, announce):
        if folder is not None:
            runs.check_free(folder)

        def watch(now: Progress) -> None:
            show(now)
            if on_progress is not None:
                on_progress(now)

        job = prepare_fit(brain, recordings, held_out=held_out, config=config, **options)
        if folder is not None:
            return runs.start_job(job, folder, command="connfit.fit", on_progress=watch, on_prepared=announce)
        return_freed_pieces()
        if job.config.train.check_memory:
            check_memory(job.memory())
        announce(job)
        return runs.with_peak_memory(job.fit(on_progress=watch))


def prepare_fit(
    brain: Connectome,
    recordings: Recording | Sequence[Recording],
    *,
    held_out: Sequence[Recording] = (),
    config: Config | None = None,
    **options: object,
) -> Job:
    """Match units, build the cohort and find the start of the model; arguments as of `fit`.

    Returns
    -------
    Job
        With `cohort`, `readout`, `model`, `params`, `learner` and `recipe`; `job.fit()` trains.
    """
    config = with_options(config or Config(data=DataConfig()), options)
    device_count(config.train.devices)
    default = DataConfig()
    for option in (*SOURCE_OPTIONS, "saved", "held_out"):
        if getattr(config.data, option) != getattr(default, option):
            raise ConfigError(
                f"data.{option} = {getattr(config.data, option)!r} is an option of reading data, which are given here: "
                "give it to the function that makes the connectome or the recordings"
            )
    given = [recordings] if isinstance(recordings, Recording) else list(recordings)
    if not given:
        raise DataError("there is no recording to fit")
    data = GivenData(
        brain, prepare_recordings(config.data, given), prepare_recordings(config.data, held_out)
    )  # fmt: skip
    done = {option: getattr(default, option) for option in CUT_OPTIONS}
    config = msgspec.structs.replace(
        config,
        data=msgspec.structs.replace(
            config.data, preprocess=(), held_out=tuple(recording.name for recording in data.held_out), **done
        ),
    )
    return replace(build(config, data.connectome, data.recordings, data.held_out), given=data)


def with_options(config: Config, options: Mapping[str, object]) -> Config:
    """Set options of a configuration by their names alone, in whichever section they are.

    Raises
    ------
    ConfigError
        If there is no such option, with the nearest; or its value is wrong.
    """
    section_of = {option: name for name in SECTIONS for option in getattr(config, name).__struct_fields__}
    for option, value in options.items():
        if option == "seed":
            config = msgspec.structs.replace(config, seed=value)
            continue
        name = section_of[one_of("option of connfit.fit", option, ("seed", *section_of))]
        value = tuple(value) if isinstance(value, list) else value
        section = msgspec.structs.replace(getattr(config, name), **{option: value})
        config = msgspec.structs.replace(config, **{name: section})
    return config
