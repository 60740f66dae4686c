"""What `connfit check` says in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit.datasets.own_files.checked_connectome import CheckedConnectome
from connfit.datasets.own_files.checked_recording import CheckedRecording
from connfit.datasets.own_files.checking import CheckedData
from connfit.errors import first_ten

_DRIFTS = 0.2
"""Share of values outside of what training showed from which drift is said."""


def print_check(checked: CheckedData, console: Console) -> None:
    """Print what was understood, a block for the connectome and for each recording, then what is open or wrong."""
    if checked.connectome is not None:
        _block(f"connectome {checked.connectome.source}", connectome_rows(checked, checked.connectome), console)
    for recording in checked.recordings:
        rows = recording_rows(recording, checked.unit_column)
        _block(f"recording {recording.recording.name}", rows, console)
    for option, why in checked.said.items():
        if not option.startswith("data.connectome."):
            console.print(literal(f"{option.removeprefix('data.')}: {why}"), highlight=False, soft_wrap=True)
    if checked.left_out:
        console.print(literal("left out:"), highlight=False)
    for path, why in checked.left_out:
        console.print(literal(f"  {path}: {why}"), highlight=False, soft_wrap=True)
    if checked.other_files:
        files = "file is" if checked.other_files == 1 else "files are"
        console.print(literal(f"{checked.other_files} further {files} of no format that is read"), highlight=False)


def connectome_rows(data: CheckedData, checked: CheckedConnectome) -> dict[str, str]:
    """Return what is said of the connectome of checked data, by label."""
    counted, said = checked.summary, data.said
    rows = {}
    if checked.columns:
        rows["columns"] = _chosen(checked.columns, said, "data.connectome")
    options = (data.values["data"].get("connectome") or {}).get("options") or {}
    if options:
        rows["options"] = _chosen(options, said, "data.connectome.options")
    rows["neurons"] = f"{counted.neurons:,}, of {checked.types:,} types, in {checked.regions:,} regions"
    rows["connections"] = f"{counted.connections:,}, {counted.self_connections:,} of a neuron to itself"
    if counted.electrical_connections:
        rows["connections"] += f"; {counted.electrical_connections:,} electrical"
    if checked.synapses is not None:
        low, middle, high = (f"{size:.4g}" for size in checked.synapses)
        counts = counted.synapses is not None
        total = f"{counted.synapses:,}" if counts else f"{counted.total_weight:.4g}"
        spread = f"a connection has {middle} (median), {low} to {high} (1 to 99 %)"
        rows["synapses" if counts else "weights"] = f"{total} in all; {spread}"
    if counted.neurons_without_input:
        rows["without input"] = f"{counted.neurons_without_input:,} neurons"
    words = [f"{word or 'unknown'} {neurons:,}" for word, neurons in checked.transmitters.items()]
    rows["transmitters"] = first_ten(words)
    signs = f"{counted.excitatory_neurons:,} excitatory, {counted.inhibitory_neurons:,} inhibitory"
    if (inhibitory := counted.inhibitory_connections) is not None:
        signs = f"{counted.connections - inhibitory:,} excitatory connections, {inhibitory:,} inhibitory"
    if checked.has_signs or "data.sign_rule" in said or not said:
        rows["signs"] = f"{signs} ({checked.connectome.notes.get('sign_rule')})"
    elif "data.unknown_transmitter" in said and not any(checked.transmitters):
        rows["signs"] = signs
    if any(checked.transmitters):
        rows["not covered by a rule"] = ", ".join(f"{name} {neurons:,}" for name, neurons in checked.unknown.items())
    return {**rows, **_numbered("caution", checked.cautions)}


def _chosen(options: Mapping[str, object], said: Mapping[str, str], section: str) -> str:
    """What was chosen, and why where that is known."""
    reasons = {name: f" ({why})" for name in options if (why := said.get(f"{section}.{name}"))}
    return "; ".join(f"{name} = {value}{reasons.get(name, '')}" for name, value in options.items())


def recording_rows(checked: CheckedRecording, unit_column: str | None) -> dict[str, str]:
    """Return what is said of a recording, by label."""
    recording = checked.recording
    rows = {
        "file": f"{checked.path} ({checked.format})",
        "frames": f"{recording.frames:,} at {recording.frame_rate:.6g} Hz: {_duration(recording.duration_s)}",
        "units": f"{len(recording.units):,}: {first_ten(recording.units)}",
        "values": f"{recording.kind} ({recording.value_units}), {checked.low:.4g} to {checked.high:.4g} (1 to 99 %), "
        f"median {checked.median:.4g}",
    }
    shortest, longest = recording.notes.get("shortest_interval_s"), recording.notes.get("longest_interval_s")
    if shortest is not None and longest is not None:
        rows["frames"] += f"; {float(shortest):.4g} to {float(longest):.4g} s between frames"
    if "time_unit" in recording.notes:
        rows["frames"] += f"; times in {recording.notes['time_unit']}"
    if checked.negative_share:
        rows["values"] += f", {checked.negative_share:.1%} below 0"
    missing = f"{checked.missing_share:.2%} of the values" if checked.missing_share else "nothing"
    if checked.empty_frames:
        missing += f"; {checked.empty_frames:,} frames without any value, up to {checked.longest_gap:,} in a row"
    if checked.silent_units:
        missing += f"; {len(checked.silent_units)} units without any value: {first_ten(checked.silent_units)}"
    rows["missing"] = missing
    if checked.flat_units:
        rows["flat"] = f"{len(checked.flat_units)} units in the training part: {first_ten(checked.flat_units)}"
    if checked.beyond is not None:
        rows["drift"] = (
            f"{checked.beyond:.0%} of the values behind the training part are outside of what it showed"
            + (f"; most of {len(checked.drifting_units)} units" if checked.drifting_units else "")
            + ("; if it is no signal, add the step high_pass" if checked.beyond > _DRIFTS else "")
        )
    if recording.epochs:
        rows["epochs"] = first_ten(recording.epochs)
    if recording.inputs is not None:
        rows["inputs"] = first_ten(recording.inputs.channels)
    for column, match in checked.matches.items():
        if column == unit_column or (unit_column is None and match.matched):
            what = {"id": "neurons", "type": "types", "region": "regions"}[column]
            rows[f"matched with {what}"] = match.report().replace("\n", "; ")
    return {**rows, **_numbered("caution", checked.cautions)}


def print_open(checked: CheckedData, console: Console) -> None:
    """Print what is wrong, a line each."""
    for problem in checked.problems:
        console.print(literal(f"problem: {problem}"), style="red", highlight=False, soft_wrap=True)


def _block(title: str, rows: Mapping[str, str], console: Console) -> None:
    table = Table(show_header=False, box=None, title=literal(title), title_justify="left", title_style="bold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows.items():
        table.add_row("caution" if label.startswith("caution") else label, literal(text))
    console.print(table)


def _numbered(label: str, texts: tuple[str, ...]) -> dict[str, str]:
    return {f"{label} {number}": text for number, text in enumerate(texts)}


def _duration(seconds: float) -> str:
    return f"{seconds:.4g} s" if seconds < 120 else f"{seconds / 60:.4g} min"
