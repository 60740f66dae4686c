"""A reader, a preprocessing step, a start and starting weights of another package work from a configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small import teacher, write_files

TOY = '''
"""What a package of one file brings: each piece is one function and one entry."""

from typing import Annotated

import jax.numpy as jnp
import msgspec
import numpy as np

from connfit.errors import DataError
from connfit.models.init.persistence_start import plain_start
from connfit.plugins import Options, Reader, Start, StartingWeights, Step
from connfit.recordings import Recording
from connfit.recordings.preprocess.step_record import finish, number, observed_values, training_values
from connfit.recordings.readers.frames import check_units, require_file, require_rate, settle_missing


def read_toy(path, *, missing="error", factor=1.0):
    path = require_file(path)
    try:
        head, *rows = path.read_text("ascii").splitlines()
        rate, *units = head.split()
        values = np.array([[float(cell) for cell in row.split()] for row in rows]) * factor
    except ValueError as error:
        raise DataError(f"not a toy file ({error})", path=path) from error
    units = check_units(units, values.shape[-1], path)
    values, mask, absent = settle_missing(values, units, path, missing=missing)
    return Recording(
        path.stem, values, units, require_rate(rate, path), mask=mask,
        notes={"file": path.name, "missing_values": absent},
    )


def toy_centre(recording, *, share=1.0):
    share = number("share", share, least=0, most=1)
    values = observed_values(recording)
    mean = share * np.nanmean(training_values(recording, values), axis=0)
    return finish(recording, values - mean, "toy_centre", {"share": share}, constants={"mean": mean})


class LevelOptions(Options, frozen=True):
    level: Annotated[float, msgspec.Meta(ge=0)] = 0.25


def toy_level(model, given):
    level = given.options.level
    params = plain_start(model, given, driven=False)
    return model.project({**params, "bias": jnp.full_like(params["bias"], level)})


READER = Reader(name="toy", label="Toy text", suffixes=(".toy", ".toy.txt"), read=read_toy)
STEP = Step(name="toy_centre", label="centring", apply=toy_centre)
START = Start(name="toy_level", label="biases of one level", parameters=toy_level, options=LevelOptions)
WEIGHTS = StartingWeights(
    name="toy_roots", label="as roots of counts", magnitudes=lambda brain, seed: np.sqrt(brain.counts)
)
'''
POINTS = """\
[connfit.readers]
toy = toy_pieces:READER
[connfit.preprocess]
toy_centre = toy_pieces:STEP
[connfit.starts]
toy_level = toy_pieces:START
[connfit.weights]
toy_roots = toy_pieces:WEIGHTS
"""
SCRIPT = """
import json, sys
from pathlib import Path

import numpy as np

import connfit
from connfit import config as configuration
from connfit.datasets.loading import recordings_from_config
from connfit.errors import ConnfitError
from connfit.training.problem import prepare

folder = Path(sys.argv[1])
config = configuration.read(folder / "own.toml")
job = prepare(config)
first = job.cohort.recordings[0]
weights, counts = np.asarray(job.params["weights"]) ** 2, job.connectome.counts
said = {}
for name, sets in {
    "level": ["model.start_options.level=-1"],
    "option": ["model.start_options={\\"levels\\": 1}"],
    "start": ["model.drive_start=toy_leven"],
    "weights": ["model.weights=nothing"],
    "format": ["data.recording_files.format=toyy"],
    "reader": ["data.recording_files.options.factors=1"],
    "step": ["data.preprocess=[{\\"step\\": \\"nothing\\"}]"],
    "rate": ["data.recording_files.frame_rate=2"],
    "both": ["data.recording_files.options={\\"missing\\": \\"mask\\"}"],
}.items():
    try:
        prepare(configuration.override(config, sets))
    except ConnfitError as error:
        said[name] = str(error)

from contracts import check_reader, check_start, check_step, check_weights
from small import regional_connectome, teacher
from test_preprocess import made

def write(path, values):
    rows = [" ".join(map(repr, row)) for row in values.tolist()]
    path.write_text("\\n".join(["2.0 a b c", *rows]) + "\\n")

check_reader("toy", write, folder, {}, ("a", "b", "c"))
check_step(made(4, missing=0.1), {"step": "toy_centre", "share": 0.5})
check_weights("toy_roots", regional_connectome())
brain, (movie, _) = teacher()
check_start("toy_level", brain, movie, options={"level": 0.5})
print(json.dumps({
    "steps": [record["step"] for record in first.steps], "values": float(np.abs(first.values).mean()),
    "bias": np.unique(np.asarray(job.params["bias"])).tolist(), "name": first.name,
    "weights": (weights / weights[0]).tolist(), "counts": (counts / counts[0]).tolist(), "said": said,
}))
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a new process prints in which the package is installed; everything in it is one file."""
    folder = tmp_path_factory.mktemp("toy")
    site = folder / "site"
    record = site / "toy_pieces-1.0.dist-info"
    record.mkdir(parents=True)
    (site / "toy_pieces.py").write_text(TOY, encoding="utf-8")
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-pieces\nVersion: 1.0\n", encoding="utf-8")
    (record / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    text = write_files(folder).read_text(encoding="utf-8")
    _, movies = teacher()
    for number, movie in enumerate(movies, 1):
        rows = [" ".join(map(repr, row)) for row in movie.values.tolist()]
        head = " ".join([str(movie.frame_rate), *movie.units])
        (folder / f"movie{number}.toy").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    text = (
        text.replace(".npz", ".toy")
        .replace('.toy"]\n', '.toy"]\noptions = { factor = 2.0 }\n')
        .replace("validation = 0.2\n", 'validation = 0.2\npreprocess = [{ step = "scale" }, { step = "toy_centre" }]\n')
        .replace('drive_start = "persistence"', 'drive_start = "toy_level"\nstart_options = { level = 0.75 }')
        .replace('"counts"', '"toy_roots"')
    )
    (folder / "own.toml").write_text(text, encoding="utf-8")
    path = os.pathsep.join([str(site), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_a_configuration_fits_with_pieces_of_another_package(outcome: dict) -> None:
    assert outcome["name"] == "movie1" and outcome["steps"] == ["scale", "toy_centre"]
    assert outcome["bias"] == [0.75]
    np.testing.assert_allclose(outcome["weights"], outcome["counts"], rtol=1e-4)


@pytest.mark.parametrize(
    ("piece", "parts"),
    [
        ("level", ("model.start_options.level: Expected `float` >= 0.0",)),
        ("option", ("option of model.start_options is 'levels'", "did you mean 'level'?")),
        ("start", ("model.drive_start is 'toy_leven'", "regression, zero, balance, toy_level", "mean 'toy_level'")),
        ("weights", ("model.weights is 'nothing'", "truncated_normal, toy_roots")),
        ("format", ("is 'toyy'", "suite2p, zarr, toy; did you mean 'toy'?")),
        ("reader", ("reader toy has no option 'factors'", "did you mean 'factor'?")),
        ("step", ("preprocess[0].step is 'nothing'", "toy_centre")),
        ("rate", ("reader toy has no option 'frame_rate'; its options are missing, factor",)),
        ("both", ("data.recording_files.options.missing: give it as data.recording_files.missing",)),
    ],
)
def test_names_and_options_of_another_package_are_listed(outcome: dict, piece: str, parts: tuple[str, ...]) -> None:
    assert all(part in outcome["said"][piece] for part in parts), outcome["said"][piece]
