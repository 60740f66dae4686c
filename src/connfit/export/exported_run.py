"""A run as export formats see it: its files, its fit, and a few lines on where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from connfit._display import visible
from connfit._version import __version__
from connfit.errors import DataError
from connfit.evaluation.evaluated import FILE as METRICS
from connfit.recordings import Recording
from connfit.report.run_files import RunFiles
from connfit.training.fitted import Fit
from connfit.training.recorded import Recorded, read_record
from connfit.training.run_record import RECORD
from connfit.training.runs import load_fit


@dataclass(frozen=True, eq=False)
class ExportedRun:
    """A run that is written in another format; nothing of it is read before a format asks for it.

    Parameters
    ----------
    folder
        Of the run.
    """

    folder: Path

    @cached_property
    def files(self) -> RunFiles:
        """Results of the run, or a DataError that says how to make them."""
        return RunFiles.read(self.folder)

    @cached_property
    def fit(self) -> Fit:
        """The fitted model with its data, or a DataError where the fit has not finished or its data have changed."""
        return load_fit(self.folder)

    @cached_property
    def record(self) -> Recorded:
        """How the run was made."""
        return read_record(self.folder) if (self.folder / RECORD).exists() else Recorded()

    @cached_property
    def recordings(self) -> tuple[Recording, ...]:
        """Recordings of the fit, then those that were held out of it, as the model is shown them."""
        return (*self.fit.cohort.recordings, *self.fit.cohort.held_out)

    def told(self, recording: Recording) -> str:
        """Return the name of a recording for people, and whether it was held out."""
        held_out = ", held out of the fit" if recording in self.fit.cohort.held_out else ""
        return f"{visible(recording.name)}{held_out}"

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.folder.resolve().name

    def origin(self) -> list[str]:
        """Return lines for people: which run this is, of what data, and whether training changed it."""
        connectome = self.record.connectome
        lines = [f"Run: {visible(self.name)}, exported by connfit {__version__}.", f"Connectome: {connectome.name}."]
        if connectome.notes.get("surrogate"):
            lines.append("SURROGATE data: connectome and recordings were generated.")
        if connectome.null:
            lines.append(f"NULL connectome: {connectome.null.get('name', 'wiring was changed')}.")
        if self._untrained():
            lines.append("Caution: training changed no parameter, so that these are those of the start.")
        return lines

    def _untrained(self) -> bool:
        """Whether training left everything as it was, as far as that is known without reading the data again."""
        if "fit" in vars(self):
            return not self.fit.trained
        return (self.folder / METRICS).exists() and self.files.evaluation.training.trained is False

    @property
    def finished(self) -> bool:
        """Whether there are fitted parameters."""
        return (self.folder / "parameters.npz").exists()

    def require_run(self) -> None:
        """Check that the folder is that of a finished run, before anything is computed.

        Raises
        ------
        DataError
            If there is no run, or its fit has not finished.
        """
        if not (self.folder / "config.json").exists():
            raise DataError("no run here", path=self.folder, fix="Give the folder that `connfit fit --out` wrote")
        if not self.finished:
            fix = f"Go on with `connfit resume {self.folder}`"
            raise DataError("the fit has not finished", path=self.folder, fix=fix)
