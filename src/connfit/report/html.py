"""`report.html`: what a fit found, in one file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from connfit.report import page
from connfit.report.comparison import comparison, limitations, number, observations_in_words, verdict
from connfit.report.drawings import Drawing, drawings
from connfit.report.held_out import held_out_limits
from connfit.report.run_files import RunFiles
from connfit.report.score_tables import connectivity_blocks, held_out_blocks, score_blocks
from connfit.report.style import save_figure

MAX_IMAGE_BYTES = 6_500_000
"""Images beyond this (9 MB as base64) are left in the figures folder, and the report says so."""

_OVERVIEW = {"horizon_skill"}
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
}


def write_report(run_dir: str | Path) -> Path:
    """Draw the figures of a run directory and write its `report.html`.

    Reads only files of that folder: `metrics.json` (required), `config.json`, `record.json`,
    `history.csv`, `forecasts.npz`, `parameters.npz`, `parameters_initial.npz`, `connectome.h5`. What
    is absent is left out. Writes `figures/*.png`, `figures/*.svg` and `report.html`; the page makes
    no request to anything outside itself.

    Returns
    -------
    Path
        Of `report.html`.

    Raises
    ------
    DataError
        If the folder or its `metrics.json` is absent, or a file is damaged.
    """
    run = RunFiles.read(run_dir)
    overview, by_recording, details = _pictures(run)
    rows = comparison(run.metrics)
    name = str(run.metrics.get("dataset") or run.folder.name)
    body = [
        _head(run, name),
        page.section(
            "In short",
            page.paragraph(verdict(rows)),
            page.paragraph(_against_itself(run.metrics)),
            page.paragraph(observations_in_words(run.metrics)),
        ),
        page.section("Scores", *score_blocks(run.metrics)),
        *(page.section("Held-out animals", *blocks) for blocks in [held_out_blocks(run.metrics)] if blocks),
        page.section("Functional connectivity", *connectivity_blocks(run.metrics)),
        page.section(
            "Limitations",
            page.bullets([*limitations(run.metrics, run.record), *held_out_limits(run.metrics)])
            or page.paragraph("None of the checks of this report found any."),
        ),
        page.section("Figures", *overview, *_recording_figures(by_recording), *details),
        page.section("What was fitted", *_fitted(run)),
        page.section("Parameters and observations", *_counts(run.metrics)),
        page.section("Preprocessing", *_preprocessing(run.record)),
        page.section("Units without a neuron", *_unmatched(run.record)),
        page.section("Performance", _performance(run.metrics)),
        page.section("Provenance", *_provenance(run)),
    ]
    html = page.PAGE.substitute(
        title=escape(f"connfit: {name}"), style=page.STYLE, body="\n".join(part for part in body if part)
    )
    path = run.folder / "report.html"
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(html, encoding="utf-8")
    temporary.replace(path)
    return path


def _pictures(run: RunFiles) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Figures as HTML, within the size limit: the overview, those of each recording, and those of the fit and "
    "its parameters."""
    overview: list[str] = []
    by_recording: dict[str, list[str]] = {}
    details: list[str] = []
    used = 0
    # Figures of the whole fit first: they must not fall to the size limit because there are many recordings.
    for drawing in sorted(drawings(run), key=lambda one: one.recording is not None):
        png = save_figure(drawing.draw(), run.folder / "figures", drawing.name)[0].read_bytes()
        used += len(png)
        narrow = drawing.name in _OVERVIEW
        shown = page.picture(png, drawing.caption, narrow=narrow) if used <= MAX_IMAGE_BYTES else _left_out(drawing)
        if drawing.recording is not None:
            by_recording.setdefault(drawing.recording, []).append(shown)
        else:
            (overview if drawing.name in _OVERVIEW else details).append(shown)
    return overview, by_recording, details


def _left_out(drawing: Drawing) -> str:
    return page.paragraph(f"Too large for this page, see figures/{drawing.name}.png: {drawing.caption}", "soft")


def _recording_figures(by_recording: Mapping[str, Sequence[str]]) -> list[str]:
    if len(by_recording) == 1:
        return list(next(iter(by_recording.values())))
    return [
        page.folded(f"Recording {name}", *figures, is_open=at == 0)
        for at, (name, figures) in enumerate(by_recording.items())
    ]


def _head(run: RunFiles, name: str) -> str:
    metrics = run.metrics
    recordings = list(metrics.get("recordings") or {})
    what = "1 recording" if len(recordings) == 1 else f"{len(recordings)} recordings"
    listed = ", ".join(recordings[:6]) + (f" and {len(recordings) - 6} more" if len(recordings) > 6 else "")
    text = f"<h1>connfit: {escape(name)}</h1>\n"
    if recordings:
        unseen = list((metrics.get("held_out") or {}).get("recordings") or {})
        also = f" Held out and only predicted: {', '.join(unseen)}." if unseen else ""
        text += page.paragraph(f"A brain model fitted to {what}: {listed}.{also}", "soft")
    if metrics.get("surrogate"):
        text += (
            '\n<p class="banner" role="note">SURROGATE: this brain and its activity were generated, not measured. '
            "Nothing here is a finding about an animal.</p>"
        )
    return text


def _against_itself(metrics: Mapping[str, Any]) -> str:
    data = metrics.get("data") or {}
    value = data.get("fc_corr_train_vs_test")
    if value is None:
        reason = (data.get("reasons") or {}).get("fc_corr_train_vs_test", "it was not computed")
        return f"Data against itself: not defined ({reason})."
    return (
        "Data against itself: functional connectivity of the training part and of the test part correlate at "
        f"{number(value)}. "
        "Any static copy of the training part reaches this; a model has to do better on the test part to have "
        "learned more."
    )


def _fitted(run: RunFiles) -> list[str]:
    blocks: list[str] = []
    summary = run.connectome.summary() if run.connectome is not None else run.record.get("connectome") or {}
    facts = [
        (_words(key), _text(value)) for key, value in summary.items() if key != "regions" and value not in (None, "")
    ]
    if summary.get("regions"):
        regions = summary["regions"]
        facts.append(
            (
                "regions",
                ", ".join(map(str, regions[:30])) + (f" and {len(regions) - 30} more" if len(regions) > 30 else ""),
            )
        )
    blocks.append(page.table([], facts, caption="Connectome", text=True))
    recordings = []
    for name, detail in (run.metrics.get("recordings") or {}).items():
        rate, frames = (
            detail.get("frame_rate"),
            {part: (detail["parts"].get(part) or {}).get("frames", 0) for part in ("train", "validation", "test")},
        )
        recordings.append([name, _text(detail.get("units")), _text(rate), *(_text(count) for count in frames.values())])
    header = ["recording", "units", "frame rate (Hz)", "train (frames)", "validation (frames)", "test (frames)"]
    blocks.append(page.table(header, recordings, caption="Recordings"))
    for name, title in (("model", "Model"), ("learner", "Learner"), ("train", "Training"), ("evaluate", "Evaluation")):
        options = run.config.get(name) or {}
        rows = [(_words(key), _text(value)) for key, value in options.items() if value is not None]
        blocks.append(page.folded(f"{title} options", page.table([], rows, text=True)))
    return blocks


def _counts(metrics: Mapping[str, Any]) -> list[str]:
    parameters, observations = metrics.get("parameters") or {}, metrics.get("observations") or {}
    observed = observations.get("train")
    rows = [[_words(group), f"{count:,}", _per(count, observed)] for group, count in parameters.items()]
    if parameters:
        total = sum(parameters.values())
        rows.append(["all", f"{total:,}", _per(total, observed)])
    seen = [[part, f"{count:,}"] for part, count in observations.items()]
    return [
        page.paragraph(observations_in_words(metrics)) if parameters else "",
        page.table(["fitted parameters", "number", "per observation in train"], rows),
        page.table(["observed values (frames × units)", "number"], seen),
    ]


def _per(count: int, observed: int | None) -> str:
    return f"{count / observed:.3g}" if observed else "–"


def _preprocessing(record: Mapping[str, Any]) -> list[str]:
    """The steps of every recording; recordings with the same steps share a list."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, recording in {**(record.get("recordings") or {}), **(record.get("held_out") or {})}.items():
        steps = tuple(_step(step) for step in recording.get("steps") or [])
        groups.setdefault(steps, []).append(name)
    blocks = []
    for steps, names in groups.items():
        lines = "".join(f"<li>{escape(step)}</li>" for step in steps) or "<li>none</li>"
        blocks.append(
            f"<h3>{escape(', '.join(names))}</h3>\n<ol>{lines}</ol>" if len(groups) > 1 else f"<ol>{lines}</ol>"
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


def _unmatched(record: Mapping[str, Any]) -> list[str]:
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


def _performance(metrics: Mapping[str, Any]) -> str:
    known = metrics.get("performance") or {}
    rows = []
    for key, value in known.items():
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


def _provenance(run: RunFiles) -> list[str]:
    record, metrics = run.record, run.metrics
    command = record.get("command")
    command = " ".join(map(str, command)) if isinstance(command, list) else command
    facts = [
        ("connfit", _text(metrics.get("connfit") or record.get("connfit"))),
        ("seed", _text(metrics.get("seed", record.get("seed")))),
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
        return ", ".join(f"{_words(str(key))} {_text(one)}" for key, one in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(one) for one in value) or "none"
    return str(value)
