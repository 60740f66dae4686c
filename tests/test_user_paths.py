"""`~` and environment variables in every path that users write: of commands, of configurations, of functions."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pandas as pd
import pytest
from small import regional_connectome

import connfit as cf
from connfit import cli
from connfit._system.paths import user_path
from connfit.cli import app
from connfit.cli.data_command import data_app
from connfit.config import sections
from connfit.config.config_files import anchor_paths
from connfit.config.sections import DataConfig, FileRecordings, TableConnectome
from connfit.connectome.signs import assign_signs
from connfit.errors import ConnfitError
from connfit.evaluation.evaluate_run import compare_with_nulls
from connfit.evaluation.forecasts import Forecasts
from connfit.models.perturb import parse_neuron_set


@pytest.fixture(autouse=True, params=["~/{}", "$HOME/{}", "${{PLACE}}/{}"])
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write the path of a file in the home of a user, who is somewhere else."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PLACE", str(home))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return request.param.format


def commands() -> Iterator[Callable[..., None]]:
    for one in (app, data_app):
        yield from (command.callback for command in one.registered_commands if command.callback)


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.__name__)
def test_every_path_of_a_command_is_that_of_a_user(command: Callable[..., None]) -> None:
    for name, hint in get_type_hints(command, include_extras=True).items():
        kind, *how = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        if "Path" in str(kind):
            assert [each.parser for each in how] == [user_path], f"{name} is not what the user means"


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("report", "{}"), "absent"), (("evaluate", "{}"), "absent"), (("analyze", "{}"), "absent"),
        (("check", "{}"), "absent"), (("check", "demo", "--edges={}"), "absent"), (("new", "{}"), "absent"),
        (("resume", "{}"), "absent"), (("simulate", "{}", "--silence", "id:1"), "absent"),
        (("compare", "{}", "{}"), "absent"), (("fit", "{}"), "own.toml"), (("gradcheck", "{}"), "own.toml"),
        (("record-next", "{}", "{}"), "absent"), (("export", "{}", "--to", "tables", "--out", "there"), "absent"),
        (("export", "absent", "--to", "tables", "--out={}"), "afile"),
        (("fit", "demo", "--out={}"), "afile"), (("recover", "--out={}"), "afile"),
        (("data", "fetch", "worm", "--to={}"), "afile"), (("data", "make", "fly-surrogate", "--out={}"), "afile"),
    ],
)  # fmt: skip
def test_commands_say_where_they_looked(
    arguments: tuple[str, ...], file: str, written: Callable[[str], str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "home" / "afile").touch()
    monkeypatch.setattr(sys, "argv", ["connfit", *(part.format(written(file)) for part in arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    err = capfd.readouterr().err
    assert ended.value.code == 2 and f"{tmp_path}/home/{file}" in err, err
    assert not list(Path().iterdir())


def texts(section: type[msgspec.Struct]) -> list[str]:
    """The options of a section that are text, or lists of text."""
    return [name for name, hint in get_type_hints(section).items() if "str" in str(hint) or "File" in str(hint)]


@pytest.mark.parametrize("section", [DataConfig, TableConnectome, FileRecordings])
def test_every_file_of_a_configuration_is_that_of_a_user(
    section: type[Any], written: Callable[[str], str], tmp_path: Path
) -> None:
    """Whatever is relative to the folder of the configuration is a file."""
    name, found = written("a.csv"), {}
    for option in texts(section):
        for value in ("a.csv", ("a.csv",)):
            needed = {"edges": "x", "neurons": "x"} if section is TableConnectome else {"files": ("x",)}
            try:
                given = section(**{**(needed if section is not DataConfig else {}), option: value})
            except ConnfitError:
                continue
            within = {TableConnectome: "connectome", FileRecordings: "recording_files"}.get(section)
            config = sections.Config(data=DataConfig(**{within: given}) if within else given)
            data = anchor_paths(config, Path("/anchor")).data
            changed = getattr(getattr(data, within) if within else data, option)
            if "/anchor/a.csv" in str(changed):
                written_value = name if isinstance(value, str) else (name,)
                held = section(**{**(needed if section is not DataConfig else {}), option: written_value})
                found[option] = str(getattr(held, option))
    assert len(found) == {DataConfig: 2, TableConnectome: 2, FileRecordings: 4}[section], found
    assert all(f"{tmp_path}/home/a.csv" in value for value in found.values())


def public() -> dict[str, Callable[..., Any]]:
    """Each parameter of a public function or method that is a path."""
    found = {}
    for name in cf.__all__:
        given = getattr(cf, name)
        if inspect.isclass(given):
            inside = {f"{name}.{key}": one for key, one in inspect.getmembers(given, callable) if key[0] != "_"}
        else:
            inside = {name: given}
        for key, function in inside.items():
            if inspect.isfunction(function) or inspect.ismethod(function):
                parameters = inspect.signature(function).parameters.values()
                found |= {f"{key}.{one.name}": function for one in parameters if "Path" in str(one.annotation)}
    return found


RESPONSES = pd.DataFrame({"stimulated": ["a", "b"], "responding": ["b", "a"], "responds": [1, 0]})

READ: dict[str, Callable[[str], object]] = {
    "Analysis.read.run_folder": cf.Analysis.read,
    "Connectome.load.path": cf.Connectome.load,
    "Ensemble.load.folders": lambda path: cf.Ensemble.load([path]),
    "analyze.run": cf.analyze,
    "load_analysis.run_dir": cf.load_analysis,
    "load_evaluation.run_dir": cf.load_evaluation,
    "load_fit.out": cf.load_fit,
    "load_study.run_dir": cf.load_study,
    "perturb_score.run": lambda path: cf.perturb_score(path, RESPONSES),
    "perturb_score.against": lambda path: cf.perturb_score(object.__new__(cf.Fit), RESPONSES, against=[path]),
    "read_connectome.edges": lambda path: cf.read_connectome(path, format="matrix"),
    "read_connectome.neurons": lambda path: cf.read_connectome("edges.csv", path),
    "read_recording.path": cf.read_recording,
    "record_next.fits": lambda path: cf.record_next([path]),
    "resume.out": cf.resume,
    "write_report.run_dir": cf.write_report,
    "evaluate_run.out": lambda path: cf.evaluate_run(None, path),  # type: ignore[arg-type]
    # Not in `connfit` itself, or by a name:
    "compare_with_nulls": lambda path: compare_with_nulls(path, [path]),
    "Forecasts.load": Forecasts.load,
    "sign_rule": lambda path: assign_signs(["gaba"], path),
    "edges": lambda path: cf.connectome_from_tables("b", path, path, sign_rule="worm"),
    "file:": lambda path: parse_neuron_set(f"file:{path}", regional_connectome()),
}

WRITTEN = {"Connectome.save.path", "Fit.save.out", "fit.out", "write_random_connectome.path"}
"""Those of a fit share `claims`, as do `evaluate_run` and all others that write into a run directory."""


def test_no_path_of_a_function_is_forgotten() -> None:
    assert set(public()) - WRITTEN - set(READ) == set()


@pytest.mark.parametrize("name", READ)
def test_functions_read_where_the_user_means(name: str, written: Callable[[str], str], tmp_path: Path) -> None:
    if name == "Analysis.read.run_folder":
        assert cf.Analysis.read(written("absent")) is None
        return
    with pytest.raises(ConnfitError) as caught:
        READ[name](written("absent.csv"))
    assert f"{tmp_path}/home/absent.csv" in str(caught.value)


def test_functions_write_where_the_user_means(written: Callable[[str], str], tmp_path: Path) -> None:
    regional_connectome().save(written("brain.h5"))
    cf.write_random_connectome(written("random.h5"), 20, 30)
    assert all((tmp_path / "home" / name).is_file() for name in ("brain.h5", "random.h5")) and not list(
        Path().iterdir()
    )
