"""Configurations: what is written is read back, and every mistake is named with what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit import config as configuration
from connfit.config import (
    Config,
    DataConfig,
    EvaluateConfig,
    FileRecordings,
    ModelConfig,
    TableConnectome,
    TrainConfig,
)
from connfit.config.config_files import anchor_paths
from connfit.errors import ConfigError

SMALL = Config(data=DataConfig(dataset="demo"))

text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=8)
path = text.filter(lambda name: not name.startswith("~"))  # which begins with the name of a user
number = st.floats(1e-6, 1e6, allow_nan=False)


def section(struct: type, **special: Any) -> st.SearchStrategy:
    """Values of a section, each option left out or set."""
    return st.fixed_dictionaries({}, optional=special).map(lambda values: msgspec.convert(values, struct))


configs = st.builds(
    Config,
    data=section(
        DataConfig, dataset=text, recordings=st.lists(text, max_size=3), sign_rule=st.none() | path,
        electrical=st.sampled_from(["drop", "include"]), train=st.floats(0.1, 0.6), gap=st.integers(0, 9),
        preprocess=st.lists(st.fixed_dictionaries({"step": text}, optional={"cutoff_hz": number}), max_size=2),
        connectome=st.builds(TableConnectome, edges=path, neurons=path, type=st.none() | text),
        recording_files=st.builds(FileRecordings, files=st.lists(path, max_size=2).map(tuple), frame_rate=number),
    ),
    model=section(
        configuration.ModelConfig, drive=st.sampled_from(["dense", "anatomical", "none"]), spectral_radius=number,
        hidden_time_constant_frames=st.tuples(number, number).map(lambda pair: tuple(sorted(pair))),
        learn=st.just(["weights", "bias"]),
        learned_readout=st.booleans(),
    ),
    learner=section(configuration.LearnerConfig, preset=st.sampled_from(["hybrid", "bptt"]), window=st.integers(1, 99)),
    train=section(
        configuration.TrainConfig, epochs=st.integers(0, 999), rate_scale=st.dictionaries(text, number, max_size=2),
        clip_norm=number, patience=st.integers(1, 9), learning_rate=number,
    ),
    evaluate=section(
        EvaluateConfig, horizons=st.lists(st.integers(1, 50), max_size=4, unique=True), var_lags=st.just([1, 3])
    ),
    seed=st.integers(0, 2**31),
)  # fmt: skip


def as_toml(values: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """Tables of plain values as TOML. It has no None: such options are left out, for None is their default."""
    lines, tables = [], []
    for key, value in values.items():
        if isinstance(value, dict):
            tables.append(as_toml(value, (*path, key)))
        elif value is not None:
            lines.append(f"{inline(key)} = {inline(value)}")
    header = f"[{'.'.join(inline(key) for key in path)}]" if path else ""
    return "\n".join([header, *lines, *tables])


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inline(key)} = {inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(inline(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


@given(configs)
@settings(max_examples=30, deadline=None)
def test_json_and_toml_give_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    folder = tmp_path_factory.mktemp("config")
    values = configuration.to_dict(config)
    assert configuration.from_dict(values) == config
    # Relative file names become absolute when a file is read; written out again they stay what they are.
    config = anchor_paths(config, folder)
    values = configuration.to_dict(config)
    (folder / "one.json").write_text(json.dumps(values), encoding="utf-8")
    assert configuration.read(folder / "one.json") == config
    (folder / "one.toml").write_text(as_toml(values), encoding="utf-8")
    assert configuration.read(folder / "one.toml") == config


def test_file_names_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[data]\nsign_rule = "signs.csv"\n'
        '[data.connectome]\nedges = "wiring/edges.csv"\nneurons = "/elsewhere/neurons.csv"\n'
        '[data.recording_files]\nfiles = ["a.npz", "../b.npz"]\n'
    )
    data = configuration.read(path).data
    assert data.sign_rule == str(tmp_path / "signs.csv")
    assert data.connectome and data.connectome.edges == str(tmp_path / "wiring" / "edges.csv")
    assert data.connectome.neurons == "/elsewhere/neurons.csv"
    assert data.recording_files and data.recording_files.files == (
        str(tmp_path / "a.npz"), str(tmp_path.parent / "b.npz"),
    )  # fmt: skip


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        SMALL.train.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {}, "trian": {}}, r"there is no option 'trian'; did you mean 'train'\?"),
        ({"data": {"data_set": "demo"}}, r"data: there is no option 'data_set'; did you mean 'dataset'\?"),
        ({"data": {}, "train": {"epoch": 3}}, r"train: there is no option 'epoch'; did you mean 'epochs'\?"),
        ({"data": {"connectome": {"edges": "e", "neurons": "n", "cuont": "s"}}}, "data.connectome: .*mean 'count'"),
        ({"data": {}, "train": {"zzz": 1}}, "no option 'zzz'; there are epochs, "),
        ({"data": {}, "train": {"epochs": "many"}}, r"train.epochs: Expected `int`, got `str`"),
        ({"data": {}, "train": {"epochs": 2.5}}, r"train.epochs"),
        ({"data": {}, "model": {"drive": "denze"}}, r"model.drive: must be one of 'dense', 'anatomical', 'none'"),
        ({"data": {}, "model": {"observation": "order-1"}}, "model.observation: .* a section, with indicator, decay_s"),
        ({"data": {}, "model": {"cell_options": 3}}, "model.cell_options: Expected `object`, got `int`$"),
        ({"data": {"recordings": "all"}}, r"data.recordings: Expected `array`, got `str`"),
        ({"data": {}, "evaluate": {"free_run_runs": 0}}, "evaluate.free_run_runs: Expected `int` >= 1"),
        ({"data": {}, "evaluate": {"free_run_runs": 20_000}}, "evaluate.free_run_runs: Expected `int` <= 10000"),
        ({}, "missing required field `data`"),
        ({"data": {"connectome": {"neurons": "n"}}}, "data.connectome: .*missing required field `edges`"),
    ],
)
def test_mistakes_are_named(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        configuration.from_dict(values, source="own.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.toml", None, "no such configuration file"),
        ("own.toml", "train = [", "not valid TOML"),
        ("own.json", '{"data": ', "not valid JSON"),
        ("own.json", "[1, 2]", "must hold a table of options"),
        ("own.toml", b"\xff\xfe\x00", "not valid TOML"),
        ("own.toml", "[data]\n[train]\nepochs = true", "train.epochs: Expected `int`, got `bool`"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=message) as caught:
        configuration.read(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["train.epochs=7"], {"train": {"epochs": 7}}),
        (["seed=3"], {"seed": 3}),
        (["train.learning_rate=1e-3", "train.clip_norm=null"], {"train": {"learning_rate": 1e-3, "clip_norm": None}}),
        (["train.rate_scale.drive=0.1", "train.rate_scale.bias=2"],
         {"train": {"rate_scale": {"drive": 0.1, "bias": 2}}}),
        (["data.recordings=[\"a\", \"b\"]"], {"data": {"dataset": "demo", "recordings": ["a", "b"]}}),
        (["model.drive=none", "model.learned_readout=true"], {"model": {"drive": "none", "learned_readout": True}}),
        (["train.epochs=5", "train.epochs=6"], {"train": {"epochs": 6}}),
        ([], {}),
    ],
)  # fmt: skip
def test_options_are_overridden_by_their_path(assignments: list[str], expected: dict) -> None:
    got = configuration.override(SMALL, assignments)
    assert got == configuration.from_dict({"data": {"dataset": "demo"}, **expected})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.epochs", "write it as section.key=value"),
        ("trian.epochs=3", r"no section 'trian'; did you mean 'train'\?"),
        ("train.epoch=3", r"no option 'epoch'; did you mean 'epochs'\?"),
        ("train.epochs.more=3", "no section 'epochs'"),
        ("train.epochs=three", r"--set train.epochs=three: train.epochs: Expected `int`, got `str`"),
        ("model.drive=denze", r"must be one of .*'none'; did you mean 'dense'\?"),
        ("=3", "no option ''"),
        ('data.preprocess=[{step="scale"}]', "lists and tables are JSON here, and this is none"),
    ],
)
def test_wrong_overrides_are_named(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configuration.override(SMALL, [assignment])


@pytest.mark.parametrize(
    ("key", "value"),
    [("train.rate_scale", {"drive": 0.1}), ("train.patience", None), ("data.sign_rule", "true"), ("seed", 3)],
)
def test_as_json_is_what_override_reads(key: str, value: Any) -> None:
    got: Any = configuration.override(SMALL, [f"{key}={configuration.as_json(value)}"])
    for name in key.split("."):
        got = getattr(got, name)
    assert got == value


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        (TrainConfig, {"learning_rate": -0.01}, r"train\.learning_rate = -0\.01: Expected `float` > 0"),
        (TrainConfig, {"learning_rate": float("nan")}, r"train\.learning_rate = nan"),
        (TrainConfig, {"learning_rate": float("inf")}, r"train\.learning_rate = inf: must be finite"),
        (TrainConfig, {"batch": 2**31}, r"train\.batch = 2147483648: Expected `int` <= 2147483647"),
        (TrainConfig, {"epochs": 2**70}, r"train\.epochs = 1180591620717411303424: Expected `int` <= 2147483647"),
        (TrainConfig, {"l1_weights": 1e39}, r"train\.l1_weights = 1e\+39: must lie between -3\.4e\+38 and 3\.4e\+38"),
        (ModelConfig, {"cell_options": {"a": [2**63]}}, r"model\.cell_options = .*: must fit into 64 bits"),
        (ModelConfig, {"weight_spread": 11}, r"model\.weight_spread = 11: Expected `float` <= 10"),
        (EvaluateConfig, {"horizons": (1, 2**40)}, r"evaluate\.horizons\[1\].*: Expected `int` <= 2147483647"),
        (TrainConfig, {"select_on": "horizn"}, r"train\.select_on = 'horizn': .*did you mean 'horizon'\?"),
        (TrainConfig, {"epochs": 2.5}, r"train\.epochs = 2\.5: Expected `int`"),
        (TrainConfig, {"check_memory": 1}, r"train\.check_memory = 1: Expected `bool`"),
        (TrainConfig, {"free_run_rate_fraction": 1.5}, r"train\.free_run_rate_fraction = 1\.5: Expected `float` <= 1"),
        (TrainConfig, {"rate_scale": {"drive": float("nan")}}, r"train\.rate_scale"),
        (ModelConfig, {"state_forcing": 2.0}, r"model\.state_forcing = 2\.0: Expected `float` < 2"),
        (ModelConfig, {"time_constant_bounds_frames": (50.0, 0.2)}, r"bounds 0 < low < high"),
        (ModelConfig, {"time_constant_bounds_frames": (0.0, 5.0)}, r"bounds 0 < low < high"),
        (ModelConfig, {"hidden_time_constant_frames": (3.0, 1.0)}, r"range 0 < low <= high"),
        (EvaluateConfig, {"horizons": (0, 1)}, r"evaluate\.horizons"),
        (EvaluateConfig, {"horizons": (1, 1)}, r"evaluate\.horizons = \(1, 1\) names a value twice"),
        (EvaluateConfig, {"ar_orders": ()}, r"evaluate\.ar_orders is empty"),
        (DataConfig, {"train": 0.9, "validation": 0.2}, r"data\.train = 0\.9 and data\.validation = 0\.2"),
        (DataConfig, {"train": float("nan")}, r"data\.train = nan"),
        (FileRecordings, {"files": ("a.csv",), "frame_rate": -3.0}, r"data\.recording_files\.frame_rate = -3\.0"),
        (Config, {"data": DataConfig(), "seed": "one"}, r"seed = 'one': Expected `int`"),
    ],
    ids=str,
)
def test_python_refuses_what_a_file_may_not_say(section: Any, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        section(**options)
    if section is not Config and section is not FileRecordings:
        name = section.__name__.removesuffix("Config").lower()
        with pytest.raises(ConfigError, match=r"^own\.toml: "):
            configuration.from_dict({"data": {}, name: options}, source="own.toml")


@pytest.mark.parametrize(
    ("section", "options"),
    [(DataConfig, {"electrical": "\ud800"}), (DataConfig, {"saved": "\ud800"}), (ModelConfig, {"learn": ["\ud800"]})],
)
def test_half_a_letter_is_refused(section: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r" = .*\\ud800.* holds half of a surrogate pair"):
        section(**options)
    for data in ({"\ud800": 1}, {"null_options": {"\ud800": 1}}, {"electrical": "\ud800"}):
        with pytest.raises(ConfigError, match=r"own\.toml: .*half of a"):
            configuration.from_dict({"data": data}, source="own.toml")


def test_replacing_an_option_is_checked_and_numbers_of_numpy_are_plain() -> None:
    with pytest.raises(ConfigError, match=r"train\.epochs = -1"):
        msgspec.structs.replace(TrainConfig(), epochs=-1)
    made = EvaluateConfig(horizons=[1, 2], free_run_runs=np.int64(3))  # type: ignore[arg-type]
    assert made.horizons == (1, 2) and type(made.free_run_runs) is int
    assert made == EvaluateConfig(horizons=(1, 2), free_run_runs=3)


@pytest.mark.parametrize("name", ["~/a.npz", "$HOME/a.npz", "${HOME}/a.npz"])
def test_paths_may_have_a_home_and_variables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert configuration.FileRecordings(files=(name,)).files == ("/home/somebody/a.npz",)
    assert configuration.TableConnectome(edges=name, neurons=name).edges == "/home/somebody/a.npz"


@pytest.mark.parametrize("name", ["a\0b.npz", "x" * 5000, "/" + "y" * 300, "~nobody-of-this-name/x"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        configuration.FileRecordings(files=(name,))


@pytest.mark.parametrize("seed", [-1, 2**63, True, 1.5])
def test_a_seed_is_a_whole_number_from_0(seed: object) -> None:
    with pytest.raises(ConfigError, match="seed"):
        configuration.from_dict({"seed": seed, "data": {"dataset": "demo"}})


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_deeply_nested_file_is_one_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"deep.{suffix}"
    nested = "[" * 10_000 + "]" * 10_000
    path.write_text(f"a = {nested}" if suffix == "toml" else f'{{"a": {nested}}}')
    with pytest.raises(ConfigError, match="too deep"):
        configuration.read(path)


def test_a_quoted_cell_of_many_letters_is_cut() -> None:
    assert len(str(ConfigError("A" * 70_000 + "\nB"))) < 200


def nested(times: int, *, shared: bool = False) -> list:
    """Lists in each other so many times; shared: each holds the one within it twice."""
    whole: list = []
    for _ in range(times):
        whole = [whole, whole] if shared else [whole]
    return whole


@pytest.mark.parametrize("value", [nested(10_000), nested(30, shared=True)], ids=["deep", "shared"])
def test_python_cannot_hand_over_what_never_ends(value: list) -> None:
    value.append(value)
    for section, option in ((ModelConfig, "cell_options"), (DataConfig, "epochs"), (DataConfig, "crop_s")):
        with pytest.raises(ConfigError, match=rf"{option}: (its lists and tables lie|it holds) more than") as found:
            section(**{option: {"a": value} if option == "cell_options" else value})
        assert len(str(found.value)) < 300


def test_arrays_of_numpy_are_lists_and_other_things_are_named() -> None:
    assert DataConfig(crop_s=np.array([1.0, 2.5])).crop_s == (1.0, 2.5)  # type: ignore[arg-type]
    assert EvaluateConfig(horizons=np.arange(1, 4)).horizons == (1, 2, 3)  # type: ignore[arg-type]
    for section, option in ((DataConfig, "crop_s"), (TrainConfig, "rate_scale"), (ModelConfig, "cell_options")):
        for value in (range(3), object(), lambda: 1, b"x", 1j):
            with pytest.raises(ConfigError, match=option) as found:
                section(**{option: value})
            assert "\n" not in str(found.value)
    with pytest.raises(ConfigError, match=r"data\.epochs.*\.\.\. \(\d+,\d{3} letters\)"):
        DataConfig(epochs=[0.5] * 3000)  # type: ignore[arg-type]
