"""The inputs that models of a cohort are given, on the scale of its training frames."""

from __future__ import annotations

from dataclasses import replace

from connfit.config import InputsConfig
from connfit.recordings import Recording
from connfit.recordings.inputs import InputUse, require_inputs


def with_inputs(
    recordings: tuple[Recording, ...], held_out: tuple[Recording, ...], options: InputsConfig
) -> tuple[tuple[Recording, ...], tuple[Recording, ...]]:
    """Return the same recordings with the inputs that models are given, and none else."""
    channels = options.channels
    if channels is None:
        channels = () if recordings[0].inputs is None else recordings[0].inputs.channels
    if not channels:
        return tuple(replace(one, inputs=None) for one in recordings), tuple(
            replace(one, inputs=None) for one in held_out
        )

    def chosen(recording: Recording) -> Recording:
        return replace(recording, inputs=require_inputs(recording.name, recording.inputs, channels))

    recordings, held_out = tuple(map(chosen, recordings)), tuple(map(chosen, held_out))
    training = [
        (one.name, None if one.inputs is None else one.inputs.part(one.require_parts()["train"])) for one in recordings
    ]
    use = InputUse.of(
        training, channels, lags=options.lags, exogenous=options.exogenous, free_run=options.free_run
    )  # fmt: skip

    def used(recording: Recording) -> Recording:
        return recording if recording.inputs is None else replace(recording, inputs=replace(recording.inputs, use=use))

    return tuple(map(used, recordings)), tuple(map(used, held_out))
