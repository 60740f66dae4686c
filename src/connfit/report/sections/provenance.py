"""The last sections of the report: what was fitted, from which data, with which options, on which machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from connfit.evaluation.evaluated import Evaluation
from connfit.recordings import PART_NAMES
from connfit.report import page
from connfit.report.run_files import RunFiles
from connfit.report.sections.comparison import observations_in_words
from connfit.report.sections.training_status import counted_parameters, is_untrained
from connfit.report.wording import first_of

_EVERYTHING_ELSE = {
    "recordings",
    "held_out",
    "connectome",
    "parameters",
    "observations",
    "seed",
    "versions",
    "command",
    "data_fingerprint",
    "connfit",
    "recipe",
}


def fitted(run: RunFiles) -> list[str]:
    """Return connectome, recordings and options."""
    blocks: list[str] = []
    summary = asdict(run.connectome.summary()) if run.connectome is not None else run.record.get("connectome") or {}
    facts = [
        (_words(key), _text(value)) for key, value in summary.items() if key != "regions" and value not in (None, "")
    ]
    if summary.get("regions"):
        regions = summary["regions"]
        facts.append(("regions", first_of([str(region) for region in regions])))
    blocks.append(page.table([], facts, caption="Connectome", text=True))
    recordings = []
    for name, scores in run.evaluation.recordings.items():
        frames = [_text(scores.part(part).frames) for part in PART_NAMES]
        recordings.append([name, _text(scores.units), _text(scores.frame_rate), *frames])
    header = ["recording", "units", "frame rate (Hz)", "train (frames)", "validation (frames)", "test (frames)"]
    blocks.append(page.table(header, recordings, caption="Recordings"))
    for name, title in (("model", "Model"), ("learner", "Learner"), ("train", "Training"), ("evaluate", "Evaluation")):
        options = run.config.get(name) or {}
        rows = [(_words(key), _text(value)) for key, value in options.items() if value is not None]
        blocks.append(page.folded(f"{title} options", page.table([], rows, text=True)))
    return blocks


def counts(evaluation: Evaluation) -> list[str]:
    """Return fitted parameters by group beside observed values by part."""
    parameters, observations = counted_parameters(evaluation) or {}, evaluation.observations
    observed = observations.get("train")
    rows = [[_words(group), f"{count:,}", _per(count, observed)] for group, count in parameters.items()]
    fitted = "parameters, not trained" if is_untrained(evaluation) else "fitted parameters"
    if parameters:
        total = sum(parameters.values())
        rows.append(["all", f"{total:,}", _per(total, observed)])
    seen = [[part, f"{count:,}"] for part, count in observations.items()]
    return [
        page.paragraph(observations_in_words(evaluation)) if parameters else "",
        page.table([fitted, "number", "per observation in train"], rows),
        page.table(["observed values (frames × units)", "number"], seen),
    ]


def _per(count: int, observed: int | None) -> str:
    return f"{count / observed:.3g}" if observed else "–"


def preprocessing(record: Mapping[str, Any]) -> list[str]:
    """Return the steps of every recording; recordings with the same steps share a list."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, recording in {**(record.get("recordings") or {}), **(record.get("held_out") or {})}.items():
        steps = tuple(_step(step) for step in recording.get("steps") or [])
        groups.setdefault(steps, []).append(name)
    blocks = []
    for steps, names in groups.items():
        lines = "".join(f"<li>{page.escaped(step)}</li>" for step in steps) or "<li>none</li>"
        blocks.append(
            f"<h3>{page.escaped(first_of(names))}</h3>\n<ol>{lines}</ol>" if len(groups) > 1 else f"<ol>{lines}</ol>"
        )
    return blocks


def _step(step: Mapping[str, Any]) -> str:
    """One line; constants of every unit are counted, not listed, they are in record.json."""
    options = []
    for key, value in step.items():
        if key == "step" or value is None:
            continue
        long = isinstance(value, (list, Mapping)) and len(value) > 4
        options.append(f"{_words(key)}: {len(value)} values" if long else f"{_words(key)} {_text(value)}")
    name = _words(str(step.get("step", "step")))
    return f"{name} ({'; '.join(options)})" if options else name


def unmatched(record: Mapping[str, Any]) -> list[str]:
    """Return recorded units that have no neuron, recording by recording."""
    blocks = []
    for name, recording in {**(record.get("recordings") or {}), **(record.get("held_out") or {})}.items():
        left_out = [str(unit) for unit in recording.get("left_out") or []]
        if left_out:
            title = f"{name} (held out): {len(left_out)} units that no other recording has, not scored"
            blocks.append(page.folded(title, page.paragraph(", ".join(left_out), "small")))
        unmatched = [str(unit) for unit in recording.get("unmatched") or []]
        if "unmatched" not in recording:
            continue
        matched = len(recording.get("matched") or [])
        if not unmatched:
            blocks.append(page.paragraph(f"{name}: every one of {matched} units has its neurons in the connectome."))
        else:
            title = f"{name}: {matched} units matched, {len(unmatched)} without a neuron, not fitted"
            blocks.append(page.folded(title, page.paragraph(", ".join(unmatched), "small")))
    return blocks


def performance(evaluation: Evaluation) -> str:
    """Return time and memory of the fit."""
    rows = []
    for key, value in evaluation.performance.items():
        if value is None:
            continue
        if key.endswith("_bytes"):
            rows.append(
                (_words(key.removesuffix("_bytes")).replace("rss", "resident memory"), f"{value / 2**20:,.0f} MiB")
            )
        elif key == "ms_per_step":
            rows.append(("time per model step", f"{value:.3g} ms"))
        elif key == "first_step_s":
            rows.append(("time to the first step", f"{value:.3g} s"))
        else:
            rows.append((_words(key), _text(value)))
    return page.table([], rows, text=True)


def provenance(run: RunFiles) -> list[str]:
    """Return command, versions, seed, fingerprint and configuration."""
    record, evaluation = run.record, run.evaluation
    command = record.get("command")
    command = " ".join(map(str, command)) if isinstance(command, list) else command
    facts = [
        ("connfit", _text(evaluation.connfit or record.get("connfit"))),
        ("seed", _text(record.get("seed") if evaluation.seed is None else evaluation.seed)),
        ("data fingerprint", _text(record.get("data_fingerprint"))),
    ]
    facts += [
        (_words(key), _text(value))
        for key, value in record.items()
        if key not in _EVERYTHING_ELSE and not isinstance(value, (dict, list))
    ]
    facts += [(str(key), _text(value)) for key, value in (record.get("versions") or {}).items() if key != "connfit"]
    return [
        page.code(command) if command else "",
        page.table([], [(key, value) for key, value in facts if value != "–"], text=True),
        page.folded("Configuration", page.code(json.dumps(run.config, indent=2))) if run.config else "",
    ]


def _words(key: str) -> str:
    return key.replace("_", " ")


def _text(value: Any) -> str:
    """A value as a reader writes it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(str(key))} {_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value) or "none"
    return str(value)
