"""`connfit demo | fit | resume`: from a dataset or a configuration to a finished run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from connfit import config as configuration
from connfit._system.claim import claimed
from connfit._system.heap import forget_programs
from connfit._system.process_group import leave
from connfit._system.stages import measured_stages
from connfit.cli.evaluate_command import evaluate_and_report
from connfit.cli.several_processes import Coordinator, Distributed, Process, Processes, asks_to_join, together
from connfit.cli.terminal import (
    Out,
    RunFolder,
    Setting,
    Source,
    dataset_config,
    err_console,
    free_folder,
    interruptible,
)
from connfit.config.option_types import AllDevices

if TYPE_CHECKING:
    from connfit.training.problem import Job


def demo(out: Out = None, setting: Setting = None) -> None:
    """Fit a small SURROGATE brain (2,000 neurons, 20 regions, a hidden teacher), then evaluate and report."""
    config = configuration.override(dataset_config("demo", ["all"]), setting or [])
    _fit_and_report(config, out or free_folder("demo"))


def fit(
    source: Source,
    recording: Annotated[
        list[str] | None, typer.Option(help="Recording of the dataset, or all; may be repeated.")
    ] = None,
    held_out: Annotated[
        list[str] | None, typer.Option(help="Recording to score without training on it; may be repeated.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Share of the surrogate's neurons, 0 to 1 (fly-surrogate).")
    ] = None,
    out: Out = None,
    epochs: Annotated[int | None, typer.Option(help="Passes through the training part, teacher-forced.")] = None,
    window: Annotated[int | None, typer.Option(help="K: steps between two parameter updates.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Learning rule, which sets credit and carry: {rules}.", metavar="RULE")
    ] = None,
    credit: Annotated[
        str | None, typer.Option(help="How far credit travels within a window: neuron, network or none.")
    ] = None,
    carry: Annotated[
        str | None, typer.Option(help="What crosses to the next window: trace, factorised, history or none.")
    ] = None,
    drive: Annotated[str | None, typer.Option(help="Background drive of the units: dense, anatomical or none.")] = None,
    cell: Annotated[str | None, typer.Option(help="What a neuron does: {cells}.", metavar="CELL")] = None,
    null: Annotated[
        str | None, typer.Option(help="Fit on a null connectome instead of the real one: {nulls}.", metavar="NULL")
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(help="Baseline to compare with, instead of the default ones; may be repeated: {baselines}."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is random.")] = None,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    process: Process = None,
    processes: Processes = None,
    setting: Setting = None,
) -> None:
    """Fit a model, evaluate it and write a report."""
    if Path(source).suffix in (".toml", ".json"):
        config, name = configuration.read(source), Path(source).stem
    else:
        config, name = dataset_config(source), source
    options: dict[str, Any] = {
        "train.epochs": epochs, "learner.window": window, "learner.preset": preset, "learner.credit": credit,
        "learner.carry": carry, "model.drive": drive, "model.cell": cell, "data.null": null,
        "seed": seed, "data.scale": scale,
    }  # fmt: skip
    assignments = [f"{key}={value}" for key, value in options.items() if value is not None]
    if recording:
        assignments.append(f"data.recordings={configuration.as_json(recording)}")
    if held_out:
        assignments.append(f"data.held_out={configuration.as_json(held_out)}")
    if baseline:
        assignments.append(f"evaluate.baselines={configuration.as_json(baseline)}")
    if asks_to_join(sys.argv) and config.train.devices == 1:
        assignments.append("train.devices=all")
    config = configuration.override(config, [*assignments, *(setting or [])])

    def take_part() -> None:
        from connfit.training import runs

        runs.take_part(config)

    together(
        distributed, coordinator, process, processes,
        write=lambda: _fit_and_report(config, out or free_folder(name)), take_part=take_part,
    )  # fmt: skip


def resume(
    folder: RunFolder,
    devices: Annotated[
        str | None, typer.Option(help="Devices to train on, a number or all, in place of train.devices of the run.")
    ] = None,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    process: Process = None,
    processes: Processes = None,
) -> None:
    """Continue an interrupted fit from its last checkpoint."""
    from connfit.training import runs

    on = _devices(devices)
    together(
        distributed, coordinator, process, processes,
        write=lambda: _resume(folder, on or ("all" if asks_to_join(sys.argv) else None)),
        take_part=lambda: runs.take_part(folder, on or "all"),
    )  # fmt: skip


def _resume(folder: Path, devices: int | AllDevices | None) -> None:
    from connfit.training import runs
    from connfit.training.progress_display import show_progress

    with claimed(folder, make=False), measured_stages():
        with interruptible(folder):
            with show_progress(err_console) as (show, announce):
                fitted = runs.resume(folder, devices=devices, on_progress=show, on_prepared=announce)
            leave()
            forget_programs()
            evaluate_and_report(fitted, folder)


def _devices(asked: str | None) -> int | AllDevices | None:
    if asked is None:
        return None
    return configuration.TrainConfig(devices=int(asked) if asked.isdecimal() else cast("Any", asked)).devices


def _fit_and_report(config: configuration.Config, out: Path) -> None:
    from connfit.evaluation.baselines import check_baselines
    from connfit.evaluation.evaluation_memory import evaluation_memory
    from connfit.training import runs
    from connfit.training.progress_display import show_progress

    check_baselines(config.evaluate)
    with claimed(out), measured_stages():
        with interruptible(out):
            with show_progress(err_console) as (show, announce):
                command = shlex.join(["connfit", *sys.argv[1:]])

                def prepared(job: Job) -> None:
                    forget_programs()
                    announce(job)

                fitted = runs.start(
                    config, out, command=command, later=evaluation_memory, on_progress=show, on_prepared=prepared
                )
            leave()
            forget_programs()
            evaluate_and_report(fitted, out)
