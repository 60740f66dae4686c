"""Read everything that a user names, say what was understood and what is open, and make a configuration of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace as with_options

from connfit import config as configuration
from connfit.config import Config, FileRecordings
from connfit.connectome import Connectome
from connfit.connectome.matching import COLUMNS, READOUTS, find_column
from connfit.datasets.given_data import OWN_FILES, prepare_recordings
from connfit.datasets.loading import connectome_from_config, raw_recordings
from connfit.datasets.own_files.checked_connectome import CheckedConnectome, check_connectome
from connfit.datasets.own_files.checked_recording import CheckedRecording, check_recording
from connfit.datasets.own_files.found_recordings import read_recordings
from connfit.datasets.own_files.found_wiring import found_wiring
from connfit.datasets.own_files.sorting import configuration_of, sort_files
from connfit.datasets.own_files.user_answers import Answers, Question
from connfit.errors import ConnfitError, DataWarning
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.readers import find_reader
from connfit.recordings.readers.nwb import UNIT_COLUMNS
from connfit.recordings.recording import SAME_RATE


@dataclass(frozen=True, eq=False)
class CheckedData:
    """What was understood of a user's data.

    Parameters
    ----------
    values
        Options of the configuration, as a file has them, with absolute paths.
    said
        By option, as `"data.connectome.pre"`, how its value came about.
    connectome
        None where there is none, or it cannot be read.
    recordings
        All that could be read.
    unit_column
        Column of the neuron table that units are compared with: `"id"`, `"type"` or `"region"`.
    questions
        What has to be answered before a fit.
    problems
        What has to be changed in the data before a fit.
    left_out
        Files that are not used, and why.
    other_files
        How many files of folders are of no known format.
    source
        The configuration that was checked; None where data were named.
    """

    values: Mapping[str, Any]
    said: Mapping[str, str]
    connectome: CheckedConnectome | None = None
    recordings: tuple[CheckedRecording, ...] = ()
    unit_column: str | None = None
    questions: tuple[Question, ...] = ()
    problems: tuple[str, ...] = ()
    left_out: tuple[tuple[Path, str], ...] = ()
    other_files: int = 0
    source: Path | None = None

    @property
    def ready(self) -> bool:
        """Whether the configuration can be fitted as it is."""
        return not self.questions and not self.problems


@dataclass
class _Found:
    """What is gathered on the way."""

    values: dict[str, Any] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_data(paths: Sequence[str | Path], answers: Answers | None = None) -> CheckedData:
    """Read a configuration, or any mix of files, folders and names of datasets.

    Parameters
    ----------
    paths
        One configuration; or recordings of any format, an edge table and a neuron table, folders with such files, and
        the name of a dataset whose connectome is meant.
    answers
        What files cannot say.

    Raises
    ------
    ConnfitError
        If a file that was named itself cannot be read, or nothing was found. What is wrong only with data together is
        in `problems`.
    """
    source = configuration_of(paths)
    with warnings.catch_warnings():
        # They are in the notes of what is read.
        warnings.simplefilter("ignore", DataWarning)
        return _check_files(paths, answers or Answers()) if source is None else _check_configuration(source)


def _check_configuration(source: Path) -> CheckedData:
    config = configuration.read(source)
    connectome = connectome_from_config(config.data)
    recordings = raw_recordings(config.data, config.inputs.channels or ())
    own = config.data.recording_files
    places = [(Path(each.name), "dataset") for each in recordings] if own is None else _places(own)
    seen = [check_recording(*place, each, config.data) for place, each in zip(places, recordings, strict=True)]
    tables = config.data.connectome
    columns: dict[str, str] = {}
    if tables is not None:
        listed = {key: getattr(tables, key) for key in tables.__struct_fields__}
        columns = {key: str(value) for key, value in listed.items() if value and key not in ("edges", "neurons")}
    name = config.data.dataset or (
        f"{tables.edges}, {tables.neurons}" if tables is not None else str(config.data.saved)
    )
    column, problems = _fitted_together(config, connectome, recordings)
    return CheckedData(
        values=configuration.to_dict(config),
        said={},
        connectome=check_connectome(name, connectome, columns),
        recordings=tuple(each.matched(connectome) for each in seen),
        unit_column=column,
        problems=tuple(problems),
        source=source,
    )


def _places(own: FileRecordings) -> list[tuple[Path, str]]:
    """File and format of each recording; of an animal with several sessions, of its first."""
    firsts = range(len(own.files)) if not own.animals else map(own.animals.index, dict.fromkeys(own.animals))
    formats = [str(each.get("format", own.format)) for each in own.each or ({},) * len(own.files)]
    return [(Path(own.files[k]), find_reader(own.files[k], formats[k]).name) for k in firsts]


def _check_files(paths: Sequence[str | Path], answers: Answers) -> CheckedData:
    files = sort_files(
        paths, edges=answers.edges, neurons=answers.neurons, format=answers.format, leave_out=answers.leave_out
    )
    found = _Found()
    wiring = found_wiring(files, answers)
    data: dict[str, Any] = {**wiring.values}
    found.said |= wiring.said
    found.questions += wiring.questions
    found.problems += wiring.problems
    read = read_recordings(files, answers)
    found.said |= read.said
    found.questions += read.questions
    left_out = [*files.left_out, *read.left_out]
    unused = [path for path in files.texts if path != wiring.labels]
    for path in files.named & set(unused):
        find_reader(path)  # It says that none reads it.
    plain = configuration.DataConfig()
    seen = tuple(check_recording(path, format, recording, plain) for path, format, recording in read.recordings)
    if files.recordings:
        data["recording_files"] = read.values
        data["preprocess"] = _steps(seen, found)
    else:
        found.questions.append(
            Question("recordings", "data.recording_files.files", "no recording was found: name some")
        )
    found.values = {"seed": 0, "data": data}
    connectome = wiring.connectome
    column = None
    if connectome is not None:
        seen = tuple(each.matched(connectome.connectome) for each in seen)
        _ask_for_names(seen, connectome.connectome, found)
        if read.recordings and not found.questions and not found.problems:
            config = configuration.from_dict(found.values)
            movies = [recording for _, _, recording in read.recordings]
            column, problems = _fitted_together(config, connectome.connectome, movies)
            found.problems += problems
        elif seen:
            column = _column(seen[0].recording, connectome.connectome)[0]
    return CheckedData(
        values=found.values,
        said=found.said,
        connectome=connectome,
        recordings=seen,
        unit_column=column,
        questions=tuple(found.questions),
        problems=tuple(found.problems),
        left_out=tuple(left_out),
        other_files=files.other_files + len(unused),
    )


def _steps(recordings: Sequence[CheckedRecording], found: _Found) -> list[dict[str, Any]]:
    """Preprocessing that these recordings need, and that all files of a user's own get."""
    steps: list[dict[str, Any]] = []
    said = []
    flat = [*dict.fromkeys(unit for each in recordings for unit in each.flat_units)]
    if flat:
        everywhere = all(set(flat) <= set(each.recording.units) for each in recordings)
        steps.append({"step": "select", "drop": flat, **({} if everywhere else {"absent": "skip"})})
        said.append(f"{len(flat)} units do not vary in the training part and are left out")
    rates = [each.recording.frame_rate for each in recordings]
    if rates and max(rates) / min(rates) > 1 + SAME_RATE:
        steps.append({"step": "resample", "rate_hz": round(min(rates), 9)})
        said.append(f"recordings of {min(rates):.4g} to {max(rates):.4g} Hz are brought to {min(rates):.4g} Hz")
    said.append("units are scaled to a standard deviation of 1, two of them above 0")
    found.said["data.preprocess"] = "; ".join(said)
    return [*steps, *map(dict, OWN_FILES)]


def _ask_for_names(recordings: Sequence[CheckedRecording], connectome: Connectome, found: _Found) -> None:
    """Ask for the column that names units or neurons, where no unit that was read is known to the connectome."""
    if any(each.matches for each in recordings):
        return
    units = {unit for each in recordings for unit in each.recording.units}
    others = [title for title in connectome.neurons.columns if title not in COLUMNS]
    known = {title: len(units & {*connectome.neurons[title].astype(str)}) for title in others}
    named = tuple(title for title in sorted(known, key=lambda title: -known[title]) if known[title])
    if named:
        text = (
            f"no unit is a neuron, a type or a region, but {known[named[0]]} of {len(units)} are in the column "
            f"{named[0]} of the neuron table: which column has their names"
        )
        found.questions.append(Question("columns", "data.connectome.type", text, named))
        return
    columns = tuple(dict.fromkeys(name for each in recordings for name in each.recording.notes.get(UNIT_COLUMNS, ())))
    if columns:
        text = "no unit is a neuron, a type or a region: which column of the file's table has their names"
        found.questions.append(Question("unit_column", "data.recording_files.options.unit_column", text, columns))


def _column(recording: Recording, connectome: Connectome) -> tuple[str | None, list[str]]:
    try:
        return find_column(recording.units, connectome, name=recording.name), []
    except ConnfitError as error:
        return None, [str(error)]


def _fitted_together(
    config: Config, connectome: Connectome, recordings: Sequence[Recording]
) -> tuple[str | None, list[str]]:
    """What units are compared with, and what keeps a fit from taking these recordings, found as a fit does."""
    readout = READOUTS.get(config.model.readout)
    column, problems = (readout, []) if readout else _column(recordings[0], connectome)
    if problems:
        return column, problems
    try:
        prepared = prepare_recordings(with_options(config.data, saved=None), recordings)
        Cohort.from_recordings(prepared, substeps=config.data.substeps, inputs=config.inputs)
    except ConnfitError as error:
        problems.append(str(error))
    return column, problems
