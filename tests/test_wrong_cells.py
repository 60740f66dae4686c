"""A user's own cell that is wrong is one line: file, class, method, what it does, and what would be right."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from small import write_files

from connfit import config as configuration
from connfit.cli import main
from connfit.errors import ConfigError, DataWarning
from connfit.models import Neuron, checked_neuron
from connfit.models.cells import CELLS, Cell, find_cell
from connfit.models.cells.rate import Rate
from connfit.models.checked_neuron import check_declared, check_methods
from connfit.training import problem

HEAD = "from dataclasses import dataclass\nimport jax, jax.numpy as jnp, numpy as np\n"
HEAD += "from connfit.models import Neuron, Parameter, TimeConstant, relu\nfrom connfit.models.neuron import Jacobian\n"

RIGHT = "    def step(self, theta, h, x):\n        return theta['time_constants'] * h[0] + x[0]\n"


def written(folder: Path, body: str, name: str = "own") -> str:
    """A file with a class of this body; returns its name for `model.cell`."""
    path = folder / f"{name}.py"
    path.write_text(f"{HEAD}class Own(Neuron):\n{body}", encoding="utf-8")
    return f"{path}:Own"


DECLARED = {
    "    states = 'rate'\n" + RIGHT: r"own\.py:Own\.states is 'rate': it must be a tuple of different names",
    "    states = ('a', 'a')\n" + RIGHT: "must be a tuple of different names",
    "    states = ()\n" + RIGHT: "must be a tuple of different names",
    "    channels = (1,)\n" + RIGHT: r"Own\.channels is \(1,\)",
    "    parameters = ('k',)\n" + RIGHT: r"Own\.parameters is .*must be a tuple of Parameter",
    "    parameters = Parameter('k', start=1.0)\n" + RIGHT: "must be a tuple of Parameter",
    "    parameters = (Parameter('k', start='1'),)\n" + RIGHT: "start of the parameter 'k' is '1': it must be a number",
    "    parameters = (Parameter('k', start=float('nan')),)\n" + RIGHT: "is nan: it must be a number",
    "    parameters = (Parameter('k', start=1.0, low=2.0, high=1.0),)\n" + RIGHT: "lies in 2 to 1: swap them",
    "    parameters = (Parameter(3, start=1.0),)\n" + RIGHT: "a parameter is called 3",
    "    parameters = (TimeConstant('k', start=1.0, low=0.0),)\n" + RIGHT: "low of the time constant 'k' is 0",
    "    shows = 'rate'\n" + RIGHT: "must be the number of a state",
    "    def stepp(self, theta, h, x):\n        return h[0]\n": r"Own has no step: define step\(self, theta, h, x\)",
}

STEP = "    def step(self, theta, h, x):\n        "

METHODS = {
    "    def step(self, theta, h):\n        return h[0]\n": r"own\.py:Own\.step raises TypeError: .*traced by JAX",
    STEP + "return theta['tau'] * h[0]\n": 
        r"KeyError: 'tau' \(own\.py, line 7, in Own\.step\)",
    STEP + "return h[0] if x[0].sum() > 0 else x[0]\n": r"TracerBoolConversionError.*line 7",
    STEP + "return np.maximum(h[0], x[0])\n": r"Own\.step raises TracerArrayConversionError",
    STEP + "raise RuntimeError('a\\nb')\n": r"raises RuntimeError: a \(own\.py, line 7",
    STEP + "pass\n": "Own.step returns NoneType: it must return an array",
    STEP + "return h[0], x[0]\n": "returns 2 states: it must return 1, in this order: rate",
    STEP + "return h[0].T\n": r"returns shape \[3, 5\] of state 'rate': .*\[5, 3\]",
    STEP + "return h[0].mean()\n": r"returns shape \[\]",
    STEP + "return (h[0] > 0).astype(int)\n": "returns int.* of state 'rate': it must be .*float",
    STEP + "return x[0].astype(jnp.float16)\n": "returns float16",
    STEP + "return jnp.log(-h[0])\n": "state 'rate' that are not finite in step 1 from states of 0",
    STEP + "return h[0] + x[0].mean()\n": "mixes neurons, or runs: it must be element-wise",
    STEP + "return h[0] + jnp.cumsum(x[0], axis=0)\n": "window|mixes neurons",
    STEP + "return h[0] * (1 + h[0].ndim)\n": "does not return the same for the steps",
    RIGHT + "    def output(self, theta, h):\n        return h\n": r"Own\.output returns 1 arrays: it must return one",
    RIGHT + "    def output(self, theta, h):\n        return h[1]\n": r"Own\.output raises IndexError.*Neuron\.output",
    RIGHT + "    def observed(self, theta, h):\n        return h[0].sum()\n": r"Own\.observed returns shape \[\]",
    RIGHT + "    def balance(self, theta, rate):\n        return rate[0]\n": r"Own\.balance returns shape \[1\]",
    RIGHT + "    def hold(self, theta, before, after, rate):\n        return rate, rate\n": "Own.hold returns 2 states",
    RIGHT + "    def jacobian(self, theta, h, x):\n        return h[0]\n": r"Own\.jacobian returns another form",
    RIGHT + "    def jacobian(self, theta, h, x):\n        return Jacobian(((1.0,),), ((1.0,),), {'k': (None,)})\n":
        "names the parameter 'k': there are time_constants",
    RIGHT + "    def jacobian(self, theta, h, x):\n        return Jacobian(((jnp.ones(4),),), ((1.0,),), {})\n":
        r"has shape \[4\] for state 0 by state 0",
}  # fmt: skip


@pytest.mark.parametrize("body", DECLARED)
def test_what_a_cell_says_of_itself_is_checked_when_it_is_found(body: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=DECLARED[body]) as found:
        find_cell(written(tmp_path, body))
    assert str(tmp_path / "own.py") in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize("body", METHODS)
def test_what_its_methods_return_is_checked_before_a_fit(body: str, tmp_path: Path) -> None:
    cell = find_cell(written(tmp_path, body))
    with pytest.raises(ConfigError, match=METHODS[body]) as found:
        check_methods(cell.with_options(), 0.5)
    assert f"{tmp_path / 'own.py'}:Own." in str(found.value) and "\n" not in str(found.value)


def test_derivatives_that_are_not_those_of_the_step_are_said(tmp_path: Path) -> None:
    wrong = "    def jacobian(self, theta, h, x):\n        "
    wrong += "return Jacobian(((theta['time_constants'],),), ((2.0,),), {%s})\n"
    right = wrong.replace("2.0", "1.0")
    with pytest.warns(DataWarning, match=r"Own\.jacobian differs .*state 0 by input 0 is 2, forward mode gives 1"):
        check_methods(find_cell(written(tmp_path, RIGHT + wrong % "'time_constants': (h[0],)")).with_options(), 0.5)
    with pytest.warns(DataWarning, match="state 0 by time_constants is 0"):
        check_methods(find_cell(written(tmp_path, RIGHT + right % "")).with_options(), 0.5)
    check_methods(find_cell(written(tmp_path, RIGHT + right % "'time_constants': (h[0],)")).with_options(), 0.5)


def test_derivatives_that_a_cell_has_from_another_one_are_said_to_be_so() -> None:
    class Louder(Rate):
        def step(self, theta: Any, h: Any, x: Any) -> Any:
            return super().step(theta, h, (2 * x[0],))

    with pytest.warns(DataWarning, match=r"that of Rate, for another step: add jacobian = Neuron\.jacobian"):
        check_methods(Louder(), 0.5)
    Louder.jacobian = Neuron.jacobian
    check_methods(Louder(nonlinearity="softplus"), 0.5)


def test_a_gate_need_not_be_defined_for_every_number(tmp_path: Path) -> None:
    step = STEP + "return theta['time_constants'] * h[0] + 0.1 * jnp.sqrt(0.5 - h[0])\n"
    check_methods(find_cell(written(tmp_path, step)).with_options(), 0.5)


def test_a_cell_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit builds its model for every start that it compares."""
    cell, tries = find_cell(written(tmp_path, RIGHT)), []
    monkeypatch.setattr(checked_neuron, "place_of", lambda kind: tries.append(kind) or "own")
    for _ in range(3):
        check_methods(cell.with_options(), 0.5)
    assert len(tries) == 1


def test_cells_of_connfit_pass_their_own_check() -> None:
    for cell in CELLS.values():
        neuron = cell.with_options()
        check_declared(type(neuron))
        check_methods(neuron, 0.5)


OPTIONS = {
    "    k: Missing = 1\n": r"options are the fields .* \(NameError: name 'Missing' is not defined\)",
    "    k: int = 1\n    def __post_init__(self):\n        raise ValueError('k is odd')\n":
        r"cannot be made with k = 1 \(ValueError: k is odd\)",
}  # fmt: skip


@pytest.mark.parametrize("body", OPTIONS)
def test_options_of_a_cell(body: str, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    head = "from __future__ import annotations\n" + HEAD
    path.write_text(f"{head}@dataclass(frozen=True)\nclass Own(Neuron):\n{body}{RIGHT}", encoding="utf-8")
    cell = find_cell(f"{path}:Own")
    with pytest.raises(ConfigError, match=OPTIONS[body]) as found:
        cell.with_options(**cell.options().as_dict())
    assert str(path) in str(found.value)


IMPORTS = {
    "import sys; sys.exit(3)": r"cannot be imported \(SystemExit: 3 \(own\.py, line 1\)\)",
    "x = (": r"cannot be imported \(SyntaxError",
    "\x00": "cannot be imported",
    "raise KeyError('\x1b[31m')": r"KeyError",
    "from connfit.models import Nothing": r"ImportError: .*own\.py, line 1",
    "def f():\n    1 / 0\nf()": r"ZeroDivisionError: division by zero \(own\.py, line 2, in f\)",
}


@pytest.mark.parametrize("text", IMPORTS)
def test_what_ends_an_import(text: str, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=IMPORTS[text]) as found:
        find_cell(f"{path}:Own")
    assert "\n" not in str(found.value) and "\x1b" not in str(found.value)


def test_a_file_that_was_edited_is_read_again(tmp_path: Path) -> None:
    first = find_cell(written(tmp_path, RIGHT)).neuron
    assert find_cell(written(tmp_path, RIGHT)).neuron is not None
    name = written(tmp_path, "    states = ('rate', 'more')\n" + RIGHT)
    assert first.states == ("rate",) and find_cell(name).neuron.states == ("rate", "more")


def test_a_fit_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = write_files(tmp_path)
    wrong = "    def step(self, theta, h, x):\n        return h[0] + x[0].sum(axis=0)\n"
    cell = written(tmp_path, wrong)
    monkeypatch.setattr(
        "sys.argv", ["connfit", "fit", str(config), "--set", f"model.cell={cell}", "--out", str(tmp_path / "r")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("connfit: ")]
    assert ended.value.code == 2 and len(lines) == 1 and re.search(r"own\.py:Own\.step mixes neurons", lines[0])


def test_a_cell_of_python_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Neuron):
        """A cell without a step."""

    CELLS["rate"]  # filled before it is changed
    monkeypatch.setitem(CELLS._entries, "own", Cell(name="own", label="own", neuron=Own))
    config = configuration.override(configuration.read(write_files(tmp_path)), ["model.cell=own"])
    with pytest.raises(ConfigError, match=r"Own has no step: define"):
        problem.prepare(config)


def test_what_a_users_code_raises_later_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a trial on a few neurons cannot see."""
    config = write_files(tmp_path)
    large = STEP + "if h[0].shape[-2] > 5: raise ValueError('too many')\n        return h[0]\n"
    cell = written(tmp_path, large)
    monkeypatch.setattr(
        "sys.argv", ["connfit", "fit", str(config), "--set", f"model.cell={cell}", "--out", str(tmp_path / "r")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    said = capfd.readouterr().err
    assert ended.value.code == 2 and "Traceback" not in said
    assert re.search(r"connfit: ValueError: too many \(own\.py, line 7, in Own\.step\)", said), said
    assert not os.path.exists(tmp_path / "r" / "metrics.json")
