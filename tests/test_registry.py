"""Registries: lookups, errors that help, and pieces of other packages."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import connfit
from connfit import plugins
from connfit._registry import LAST, Entry, Options, PluginWarning, Registry, read_options, registries
from connfit.connectome.nulls import NULLS
from connfit.errors import ConfigError
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.study.row_names import row_name, short_name
from connfit.training.learners import RULES, WHOLE, Learner, LearningRule, preset


def piece(name: str, place: int = 1000) -> Entry:
    return Entry(name=name, label=name.upper(), place=place)


def test_pieces_stand_by_place_and_then_as_they_were_registered() -> None:
    registry = Registry("piece", Entry)
    for entry in (piece("late"), piece("second", 2), piece("later"), piece("first", 1)):
        assert registry.register(entry) is entry
    assert list(registry) == ["first", "second", "late", "later"] and len(registry) == 4
    assert registry["late"].label == registry.label("late") == "LATE"
    assert "absent" not in registry and registry.get("absent") is None
    assert registry.label("not_here") == registry.phrase("not_here") == "not here"
    registry.register(Entry(name="nail", label="nail", phrase="the nail"))
    assert (registry.phrase("nail"), registry.phrase("late")) == ("the nail", "LATE")


def test_an_unknown_name_is_an_error_with_the_option_and_the_nearest_name() -> None:
    registry = Registry("piece", Entry)
    registry.register(piece("hammer"))
    with pytest.raises(ConfigError, match=r"tools\.first is 'hamer', .* did you mean 'hammer'\?"):
        registry.find("hamer", "tools.first")
    with pytest.raises(ConfigError, match="piece is 'hamer'"):
        registry["hamer"]


def test_rows_of_studies_are_called_as_their_pieces_say() -> None:
    names = ("rewire_degrees", "erdos_renyi", "var_ridge", "pp_prop")
    assert [short_name(name) for name in names] == ["rewire degrees", "Erdős–Rényi graph", "ridge VAR", "pp-prop"]
    assert (short_name("fixed_strengths"), short_name("not_installed")) == ("fixed weights", "not installed")


def test_a_package_of_pieces_finds_what_it_needs_in_one_place() -> None:
    kinds = {registry._entry.__name__ for registry in registries().values()}
    assert {*kinds, "Options", "Learner", "ConnectomeModel", "Forecaster"} <= set(plugins.__all__) <= set(dir(plugins))
    assert all(hasattr(plugins, name) for name in plugins.__all__)
    offered = {id(getattr(plugins, name)) for name in plugins.__all__}
    assert {id(registry) for registry in registries().values()} < offered
    with pytest.raises(AttributeError, match="no attribute 'Basline'"):
        plugins.Basline  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_no_two_pieces_of_one_name_and_no_piece_of_another_kind() -> None:
    registry = Registry("piece", Entry)
    registry.register(piece("hammer"))
    with pytest.raises(ValueError, match="two pieces of the name 'hammer'"):
        registry.register(piece("hammer"))
    with pytest.raises(TypeError, match="no Entry"):
        registry.register("saw")  # pyright: ignore[reportArgumentType]
    assert not hasattr(registry, "__setitem__") and not hasattr(registry, "__delitem__")


class Nail(Options, frozen=True):
    length: float = 1.0
    heads: int = 1


def test_options_are_validated_where_they_are_defined() -> None:
    assert read_options(Nail, {"length": 2}, where="tools.nail") == Nail(length=2.0)
    assert read_options(Nail, None, where="tools.nail") == Nail()
    with pytest.raises(ConfigError, match=r"option of tools\.nail is 'lenght', .* did you mean 'length'\?"):
        read_options(Nail, {"lenght": 2}, where="tools.nail")
    with pytest.raises(ConfigError, match=r"tools\.nail\.heads: Expected `int`, got `str`"):
        read_options(Nail, {"heads": "two"}, where="tools.nail")


def plug_in(folder: Path, package: str, code: str, groups: dict[str, dict[str, str]]) -> None:
    """A package that is installed in `folder`: a module and the record of its entry points."""
    (folder / f"{package}.py").write_text(code, encoding="utf-8")
    record = folder / f"{package}-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    lines = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (record / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_other_packages_register_through_entry_points_and_break_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = "connfit_tests.tools"
    code = """
from connfit._registry import Entry
SAW = Entry(name="saw", label="saw")
HAMMER = Entry(name="hammer", label="another hammer")
"""
    points = {"saw": "fine_tools:SAW", "hammer": "fine_tools:HAMMER", "drill": "fine_tools:SAW"}
    plug_in(tmp_path, "fine_tools", code, {group: points})
    plug_in(tmp_path, "broken_tools", "raise RuntimeError('out of order')", {group: {"axe": "broken_tools:AXE"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("tool", Entry, group=group)
    registry.register(piece("hammer"))
    assert "fine_tools" not in sys.modules, "nothing is loaded before someone looks"
    with pytest.warns(PluginWarning) as seen:
        assert list(registry) == ["hammer", "saw"]
    said = sorted(str(warning.message) for warning in seen)
    assert len(said) == 3 and "'broken_tools'" in said[0] and "RuntimeError: out of order" in said[0]
    assert "two tools of the name 'hammer'" in said[2], "connfit's own stays"
    assert registry["hammer"].label == "HAMMER"
    with pytest.raises(ConfigError, match=r"tools\.first is 'axe': this tool of the package 'broken_tools'"):
        registry.find("axe", "tools.first")
    with pytest.raises(ConfigError, match="its name is 'saw', and that of its entry point must be the same"):
        registry["drill"]


def test_no_module_has_a_second_table_of_registered_names() -> None:
    """A dictionary, set or Literal of several names of baselines, nulls or rules is a table without plug-ins."""
    names = [set(BASELINES) - {"mean"}, set(NULLS), set(RULES)]
    found = []
    for path in Path(connfit.__file__).parent.rglob("*.py"):
        if path.parent.name in ("baselines", "nulls", "learners"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                listed = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            elif isinstance(node, ast.Set):
                listed = [one.value for one in node.elts if isinstance(one, ast.Constant)]
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
                listed = [one.value for one in node.slice.elts if isinstance(one, ast.Constant)]
            else:
                continue
            found += [(path.name, node.lineno) for known in names if len(known.intersection(listed)) > 1]
    assert found == []


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_a_learner_and_says_what_it_does(name: str) -> None:
    rule = RULES[name]
    learner = rule.learner(8, steps=100)
    assert isinstance(learner, Learner) and learner.dials == rule.dials
    assert rule.label and rule.does and rule.place < LAST
    assert learner.window == {None: 8, WHOLE: 100}.get(rule.window, rule.window)
    assert preset(name) == rule.learner() and row_name(rule.row) == RULES.phrase(name)


def test_a_rule_with_dials_that_do_not_exist_is_an_error_where_it_is_defined() -> None:
    with pytest.raises(ConfigError, match=r"credit is 'neurons', .* did you mean 'neuron'"):
        LearningRule.windowed(name="wrong", label="wrong", credit="neurons", carry="trace", does="nothing")


def test_rows_of_pieces_that_are_not_installed_have_names_in_words() -> None:
    assert [row_name(name) for name in ("gone_plug_in", "gru", "erdos_renyi", "d_rtrl", "fixed_strengths")] == [
        "gone plug in", "the GRU", "Erdős–Rényi graph", "D-RTRL", "weights fixed to synapse counts",
    ]  # fmt: skip
