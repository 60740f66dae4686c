"""The rate cell as a Brian2 script, beside the NumPy script whose parameters and recordings it shares."""

from __future__ import annotations

from pathlib import Path

from connfit.errors import ConfigError
from connfit.export.exported_run import ExportedRun
from connfit.export.formats import EXPORTS, ExportFormat
from connfit.export.formats.numpy_script import templates, write_numpy
from connfit.export.model_arrays import ModelArrays


def write_brian2(run: ExportedRun, folder: Path) -> None:
    """Write what `write_numpy` writes, and `brian_model.py`.

    Raises
    ------
    ConfigError
        If neurons have other states than a rate, or synapses are late.
    """
    arrays = ModelArrays.of(run.fit)
    if arrays.states != ("rate",):
        raise ConfigError(
            f"Brian2 equations are there for neurons whose one state is a rate, but these have "
            f"{', '.join(arrays.states)}: export numpy instead"
        )
    if arrays.delay:
        raise ConfigError(
            f"model.delay = {arrays.delay}: Brian2 sums rates over synapses without a delay: export numpy instead"
        )
    write_numpy(run, folder)
    text = templates().get_template("brian_model.py.j2").render(m=arrays, own_gains=arrays.own_gains is not None)
    (folder / "brian_model.py").write_text(text, encoding="utf-8")
    with (folder / "README.md").open("a", encoding="utf-8") as file:
        file.write("\n`python brian_model.py` does the same by its Brian2 equations (`pip install brian2`).\n")


EXPORTS.register(ExportFormat(name="brian2", label="a Brian2 script of the rate cell", place=5, write=write_brian2))
