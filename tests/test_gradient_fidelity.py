"""Comparison of gradients with BPTT's: against plain vectors, on a small brain, and as the command."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import to_builtins
from msgspec.structs import replace as msgspec_replace
from rich.console import Console
from small import student, write_files
from typer.testing import CliRunner

from connfit import cli
from connfit import config as configuration
from connfit._io import as_result, plain, read_json
from connfit.analysis.gradients.gradcheck import rules_to_fit
from connfit.analysis.gradients.gradient_fidelity import (
    Rule,
    _Comparison,
    _Feeding,
    _Runner,
    check_steps_fit,
    choose_segments,
    gradient_fidelities,
    gradient_fidelity,
    rules_to_compare,
)
from connfit.analysis.gradients.gradient_results import (
    GradientFidelity,
    GroupFidelity,
    LearningCurves,
    RuleFidelity,
    RuleScores,
    Segment,
    SkillDifference,
)
from connfit.analysis.gradients.learning_curves import learning_curves
from connfit.analysis.gradients.learning_trials import Bench, Contender, Trial
from connfit.config import EvaluateConfig, TrainConfig
from connfit.errors import ConfigError
from connfit.evaluation.squared_errors import prediction_errors
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import Parts
from connfit.recordings.cohort import Cohort
from connfit.report.figures.gradient_figure import print_fidelity
from connfit.report.figures.learning_figure import learning_figure, learning_table, learning_verdict
from connfit.report.run_files import GRADIENT
from connfit.report.sections import gradient_section
from connfit.report.sections.limits import gradient_limits
from connfit.training import runs
from connfit.training.fit import train
from connfit.training.learners import RULES, WindowedLearner, preset

FRAMES = 24


def test_measures_of_a_group_are_those_of_plain_vectors() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(5, 40))
    got = 0.5 * exact + 0.2 * rng.normal(size=(5, 40)) + 0.3
    comparison = _Comparison()
    for g, e in zip(got, exact, strict=True):
        comparison.add(g.reshape(8, 5), e.reshape(8, 5))
    found, norm = comparison.fidelity(), np.linalg.norm
    cosines = [np.dot(g, e) / norm(g) / norm(e) for g, e in zip(got, exact, strict=True)]
    error, mean = got - exact, norm(exact.mean(axis=0))
    expected = {
        "cosine": np.mean(cosines),
        "cosine_min": min(cosines),
        "undefined_segments": 0,
        "cosine_of_sum": np.dot(got.sum(0), exact.sum(0)) / norm(got.sum(0)) / norm(exact.sum(0)),
        "relative_norm": np.mean(norm(got, axis=1) / norm(exact, axis=1)),
        "relative_error": np.mean(norm(error, axis=1) / norm(exact, axis=1)),
        "bias": norm(error.mean(axis=0)) / mean,
        "spread": np.sqrt(error.var(axis=0, ddof=1).sum()) / mean,
        "variance_ratio": got.var(axis=0).sum() / exact.var(axis=0).sum(),
    }
    assert asdict(found) == pytest.approx(expected)


def test_a_gradient_of_zero_has_no_cosine_and_is_counted() -> None:
    comparison = _Comparison()
    comparison.add(np.ones(3), np.ones(3))
    comparison.add(np.zeros(3), np.ones(3))
    found = comparison.fidelity()
    assert found.cosine == pytest.approx(1) and found.undefined_segments == 1
    nothing = _Comparison()
    nothing.add(np.zeros(3), np.zeros(3))
    assert nothing.fidelity().cosine is None and nothing.fidelity().bias is None


def table(**options: Any) -> dict[str, RuleFidelity]:
    small = student()
    rules = [
        Rule("hybrid", WindowedLearner(FRAMES, *RULES["hybrid"].dials)),
        Rule("hybrid", WindowedLearner(4, *RULES["hybrid"].dials)),
        Rule("d-rtrl", WindowedLearner(8, *RULES["d-rtrl"].dials), by_window=False),
    ]
    segments = choose_segments(small.cohort, FRAMES, 3)
    rows = gradient_fidelity(small.model, small.params, small.cohort, rules, segments, warmup_frames=5, **options)
    return {row.label: row for row in rows}


def test_the_longest_window_is_exact_and_shorter_ones_are_not() -> None:
    rows = table()
    assert list(rows) == ["bptt", f"hybrid, K = {FRAMES}", "hybrid, K = 4", "d-rtrl"]
    for group in student().model.groups:
        for label in ("bptt", f"hybrid, K = {FRAMES}"):
            assert (rows[label].groups[group].relative_error or 0) < 1e-5
        near, far = (rows[label].groups[group].relative_error or 0 for label in ("hybrid, K = 4", "d-rtrl"))
        assert 1e-4 < near < far
    m, p, n = student().connectome.m, len(student().cohort.units), student().connectome.n
    assert rows["bptt"].carried_bytes == 4 * n, "rates alone"
    assert rows["d-rtrl"].carried_bytes == 4 * (3 * n + m + n * p), "rates, and a trace per trained number"
    assert all(row.ms_per_step > 0 and row.working_bytes > 0 for row in rows.values())


def test_a_rule_is_compiled_once_for_the_start_and_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    one, compiled, of = student(), [], _Runner.of
    segments = choose_segments(one.cohort, FRAMES, 2)
    moved = {key: value * 1.1 for key, value in one.params.items()}
    rules = [Rule("d-rtrl", WindowedLearner(4, "neuron", "trace"), by_window=False)]
    alone = gradient_fidelity(one.model, moved, one.cohort, rules, segments, warmup_frames=5)
    monkeypatch.setattr(_Runner, "of", lambda *given: (compiled.append(given[2]), of(*given))[1])
    at = {"start": one.params, "fitted": moved}
    both = gradient_fidelities(one.model, at, one.cohort, rules, segments, warmup_frames=5)
    assert len(compiled) == 2, "backpropagation and the rule"
    assert [row.groups for row in both["fitted"]] == [row.groups for row in alone]
    assert both["start"][1].groups != both["fitted"][1].groups


def test_free_running_segments_withhold_what_a_fit_withholds() -> None:
    cohort = student().cohort
    segment = Segment(cohort.recordings[0].name, 10, 10 + FRAMES)
    feeding = _Feeding.of(cohort, [segment], 5, (3, 4))
    forced = np.concatenate([window.forced for window in feeding.windows(8, segment)])[:, 0, 0]
    expected = [True] * 5 + ([True] * 3 + [False] * 4) * 3
    assert forced.tolist() == expected[:FRAMES]
    values = np.concatenate([window.inputs for window in feeding.windows(8, segment)])[:, :, 0]
    np.testing.assert_allclose(values, cohort.recordings[0].values[9 : 9 + FRAMES])


def test_segments_lie_in_training_parts_and_alternate_between_recordings() -> None:
    cohort = student().cohort
    segments = choose_segments(cohort, FRAMES, 5)
    names = [one.name for one in cohort.recordings]
    assert [sum(one.recording == name for one in segments) for name in names] == [3, 2]
    assert all(1 <= one.start and one.stop - one.start == FRAMES and one.stop <= 120 for one in segments)
    assert len({(one.recording, one.start) for one in segments}) == 5
    with pytest.raises(ConfigError, match="--frames 119 is the most"):
        choose_segments(cohort, 150, 2)


def test_rules_cover_all_names_and_refuse_windows_longer_than_a_segment() -> None:
    rules = rules_to_compare(40, trace_decay=0.5)
    assert {rule.name for rule in rules} == {
        "d-rtrl", "d-rtrl, bf16", "pp-prop", "immediate", "hybrid", "tbptt", "hybrid-pp"
    }  # fmt: skip
    assert [rule.learner.window for rule in rules if rule.name == "tbptt"] == [1, 4, 16]
    assert all(rule.learner.trace_decay == 0.5 for rule in rules if rule.learner.carry == "factorised")
    with pytest.raises(ConfigError, match="windows of 64 steps: a window must have 1 to 40"):
        rules_to_compare(40, [4, 64])


def test_too_long_a_segment_says_what_fits() -> None:
    small = student()
    check_steps_fit(small.model, small.params, 100, 4)
    with pytest.raises(ConfigError, match=r"--frames for (\d+) model steps would fit"):
        check_steps_fit(small.model, small.params, 10**7, 4, free=10**9)
    with pytest.raises(ConfigError, match="fewer --segments"):
        check_steps_fit(small.model, small.params, 10, 4, free=10**6)


def contenders(**learners: WindowedLearner) -> tuple[Contender, ...]:
    return tuple(Contender(name, name, one, "adam") for name, one in learners.items())


LEARNING = TrainConfig(epochs=6, learning_rate=0.01, warmup_frames=5)
HORIZONS = EvaluateConfig(horizons=(1, 2), horizon_starts=16)


@pytest.fixture(scope="module")
def curves() -> LearningCurves:
    """Truncated BPTT twice, the second with RMSprop, and no credit through time, on the small brain."""
    small = student()
    before = {key: np.array(value) for key, value in small.params.items()}
    rules = contenders(tbptt=WindowedLearner(8, *RULES["tbptt"].dials), immediate=preset("immediate"))
    plans: list[str] = []
    found = learning_curves(
        Bench(small.model, small.params, small.cohort, LEARNING, HORIZONS),
        (*rules, replace(rules[0], label="tbptt, RMSprop", optimiser="rmsprop")), "tbptt", on_plan=plans.append,
    )  # fmt: skip
    for key, value in before.items():
        np.testing.assert_array_equal(small.params[key], value)
    assert len(plans) == 1 and "3 pairs of rule and optimiser" in plans[0] and "9 to 30 fits, about" in plans[0]
    return found


@pytest.mark.slow
def test_learning_rates_and_epochs_are_chosen_on_validation(curves: LearningCurves) -> None:
    small = student()
    assert curves.equal_steps is not None
    for curve in curves.curves:
        rates = {one.learning_rate: one.validation_selection or 0 for one in curve.learning_rates}
        assert 3 <= len(rates) <= 5 and all(pytest.approx(one) in list(rates) for one in (0.01 / 3, 0.01, 0.03))
        row = curves.equal_steps.rules[curve.label]
        assert row.learning_rate is not None
        assert row.validation_selection == max(rates.values()) == rates[row.learning_rate]
        inside = sorted(rates)[1:-1]
        assert row.learning_rate in inside or (len(rates) == 5 and row.rate_at_edge)
    row = curves.equal_steps.rules["tbptt, RMSprop"]
    again = TrainConfig(**{
        **to_builtins(LEARNING), "optimiser": "rmsprop", "learning_rate": row.learning_rate, "patience": None
    })  # fmt: skip
    fitted = train(small.model, small.params, small.cohort, WindowedLearner(8, *RULES["tbptt"].dials), again)
    selection = [one["selection"] for one in fitted.history]
    assert row.chosen_epoch == int(np.argmax(selection)) and row.validation_selection == max(selection)
    assert row.train_loss == fitted.history[row.chosen_epoch]["train_loss"]
    errors = [prediction_errors(fitted.forecaster(), one, "test", HORIZONS) for one in small.cohort.recordings]
    for h in (1, 2):
        assert row.test[h] == pytest.approx(np.mean([one.skill(h) for one in errors]), rel=1e-6)


def test_learning_curves_compare_after_equal_steps_and_equal_time(curves: LearningCurves) -> None:
    assert curves.equal_steps is not None and curves.equal_seconds is not None
    assert curves.equal_steps.steps == 6 * 119 and curves.steps_per_epoch == 119
    pace = {curve.label: curve.seconds_per_epoch or 0 for curve in curves.curves}
    assert all((curve.median_over_fastest or 0) >= 1 for curve in curves.curves)
    assert {row.epochs for row in curves.equal_steps.rules.values()} == {6}
    seconds = curves.equal_seconds.seconds
    assert seconds == pytest.approx(6 * min(pace.values()))
    for label, row in curves.equal_seconds.rules.items():
        assert row.epochs == min(6, round(seconds / pace[label]))
    first = curves.curves[0]
    assert first.steps == tuple(119 * (k + 1) for k in range(6)) and np.all(np.diff(first.seconds or ()) > 0)
    assert first.train_loss is not None and first.train_loss[-1] < first.train_loss[0]
    for axis, at in curves.compared.items():
        rules, credit = at.rules, at.credit
        assert not rules["tbptt"].difference
        for row in (rules["immediate"], rules["tbptt, RMSprop"]):
            for h in (1, 2):
                one = row.difference[h]
                assert one.value == pytest.approx(row.test[h] - rules["tbptt"].test[h], abs=1e-9)
                assert one.low <= one.value <= one.high
        if not rules["immediate"].epochs:  # windows of one step are slow on a brain as small as this
            assert axis == "equal_seconds" and credit is None
            continue
        assert credit.without_credit == "immediate" and credit.with_credit.startswith("tbptt")
        expected = rules[credit.with_credit].test[2] - rules["immediate"].test[2]
        assert credit.difference[2].value == pytest.approx(expected, abs=1e-9)


def test_a_rule_that_has_no_time_for_one_epoch_keeps_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that diverges at every rate is named, without a part in the comparison."""
    small = student()
    real = Bench.trial

    def slow(self: Any, contender: Contender, factor: float, epochs: int) -> Any:
        if contender.label == "wild":
            return Trial(factor, factor, epochs, diverged="the loss is not finite")
        trial = real(self, contender, factor, epochs)
        much = 1e6 if contender.rule == "immediate" else 1.0
        rows = tuple({**row, "ms_per_step": much} for row in trial.history)
        return replace(trial, history=rows)

    monkeypatch.setattr(Bench, "trial", slow)
    rules = contenders(
        tbptt=WindowedLearner(8, *RULES["tbptt"].dials),
        immediate=preset("immediate"),
        wild=WindowedLearner(8, *RULES["tbptt"].dials),
    )
    config = msgspec_replace(LEARNING, epochs=1)
    found = learning_curves(Bench(small.model, small.params, small.cohort, config, HORIZONS), rules, "tbptt")
    assert found.equal_steps is not None and found.equal_seconds is not None
    row = found.equal_seconds.rules["immediate"]
    assert row.epochs == 0 and row.trained is False and found.equal_steps.rules["immediate"].epochs == 1
    forecaster = ModelForecaster(small.model, small.params, small.cohort)
    errors = [prediction_errors(forecaster, one, "test", HORIZONS) for one in small.cohort.recordings]
    assert row.test[1] == pytest.approx(np.mean([one.skill(1) for one in errors]), rel=1e-6)
    assert found.equal_seconds.credit is None, "a rule that was not trained is not compared as one"
    assert found.curves[2].diverged == "the loss is not finite"
    assert found.equal_steps.rules["wild"] == RuleScores(epochs=1, diverged="the loss is not finite")
    _, cells = learning_table(found.equal_seconds)
    assert cells[1][1] == "0 (start kept)" and cells[2][2] == "diverged"


def test_rates_go_further_where_the_best_is_at_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    small = student()
    bench = Bench(small.model, small.params, small.cohort, LEARNING, HORIZONS, None, 0)
    rule = contenders(tbptt=WindowedLearner(8, *RULES["tbptt"].dials))[0]

    def tried(value: Any) -> list[float]:
        def trial(self: Any, one: Contender, factor: float, epochs: int) -> Trial:
            best = value(factor)
            return Trial(factor, factor, epochs, value=best, epoch=-1 if best == 0 else 0)

        monkeypatch.setattr(Bench, "trial", trial)
        return [round(one.factor, 3) for one in bench.search(rule, 2, lambda _: None)]

    assert tried(lambda factor: 2.0 - abs(factor - 1)) == [0.333, 1, 3]
    assert tried(lambda factor: factor) == [0.333, 1, 3, 9, 27]
    assert tried(lambda factor: 1 / factor) == [0.333, 1, 3, 0.111, 0.037]
    assert tried(lambda factor: 5 - abs(factor - 9)) == [0.333, 1, 3, 9, 27]
    assert tried(lambda factor: 0.0) == [0.333, 1, 3, 0.111, 0.037], "no rate improves on the start"


def test_without_a_validation_part_there_is_nothing_to_choose_by() -> None:
    small = student()
    movies = [replace(one, parts=Parts((0, 120), (120, 120), (120, 200))) for one in small.cohort.recordings]
    rules = contenders(tbptt=WindowedLearner(8, *RULES["tbptt"].dials))
    with pytest.raises(ConfigError, match=r"on the validation part, and there is none: set data\.validation"):
        learning_curves(Bench(small.model, small.params, Cohort.from_recordings(movies), LEARNING), rules, "tbptt")


def difference(value: float, low: float | None, high: float | None) -> SkillDifference:
    excludes = None if low is None or high is None else low > 0 or high < 0
    reason = None if low is not None else "40 frames are too few for two blocks of 30"
    return SkillDifference(value, low, high, excludes_zero=excludes, reason=reason)


def made_curves(one: SkillDifference) -> LearningCurves:
    """Learning curves of two rules whose difference is given."""
    row = {"epochs": 20, "trained": True, "learning_rate": 0.01, "train_loss": 1.0, "validation_skill": 0.3,
           "validation_selection": 0.3}  # fmt: skip
    skill, value = {"1": 0.25, "10": None}, one.value or 0.0
    other = replace(one, value=-value, low=one.high and -one.high, high=one.low and -one.low)
    rules = {
        "hybrid": {**row, "test": skill},
        "immediate": {**row, "test": {"1": 0.25 - value, "10": None}, "difference": {"1": plain(other)}},
    }
    credit = {"with_credit": "hybrid", "without_credit": "immediate", "difference": {"1": plain(one)}}
    at = {"rules": rules, "credit": credit}
    curve = {"steps": [4, 8], "train_loss": [2.0, 1.0], "window": 16, "optimiser": "adam"}
    record = {
        "reference": "hybrid", "epochs": 20, "select_on": "one_step",
        "left_out": [{"rule": "pp-prop", "reason": "states are forced"}],
        "curves": [
            {"rule": "hybrid", "label": "hybrid", "seconds": [1.0, 2.0], **curve},
            {"rule": "immediate", "label": "immediate", "seconds": [3.0, 6.0], **curve},
            {"rule": "tbptt", "label": "tbptt", "diverged": "the loss is not finite"},
        ],
        "equal_steps": {"steps": 8, **at}, "equal_seconds": {"seconds": 2.0, **at},
    }  # fmt: skip
    return as_result(record, LearningCurves)


@pytest.mark.parametrize(
    ("one", "words", "best"),
    [
        (difference(0.02, 0.01, 0.03), "Temporal credit matters here", "hybrid with a skill of 0.250"),
        (difference(-0.02, -0.03, -0.01), "The cheap rule wins", "immediate with a skill of 0.270; hybrid, the "
         "reference for all others, has 0.250, a difference of 0.0200 (0.0100 to 0.0300)"),
        (difference(0.005, -0.01, 0.02), "The cheap rule is as good", "hybrid with a skill of 0.250"),
        (difference(0.005, None, None), "left open: 40 frames are too few", "hybrid with a skill of 0.250"),
    ],
)  # fmt: skip
def test_the_verdict_says_who_wins_whoever_it_is(one: SkillDifference, words: str, best: str) -> None:
    curves = made_curves(one)
    said = learning_verdict(curves)
    assert len(said) == 4 and sum(words in line for line in said) == 2
    assert said[0] == f"After equal steps (20 epochs), one frame ahead: best on test is {best}."
    assert said[2].startswith("After equal time (2.00 s of training), one frame ahead")
    limits = " ".join(limits_of(curves))
    assert ("cheap rule" in limits) is ("cheap" in words)
    if "cheap" in words:
        assert f"{'wins' if 'wins' in words else 'is as good'} after equal steps 1 frame ahead" in limits
    for ratio, warned in ((1.4, False), (3.0, True)):
        slow = (replace(curves.curves[0], median_over_fastest=ratio), *curves.curves[1:])
        last = learning_verdict(replace(curves, curves=slow))[-1]
        assert ("3.00 times as long as its fastest" in last) is warned
    nothing = replace(curves, equal_steps=None, equal_seconds=None)
    assert not learning_verdict(nothing) and not limits_of(nothing)


def limits_of(curves: LearningCurves) -> tuple[str, ...]:
    """Limitations of a run that has learning curves, and rules whose gradients are far from nothing."""
    exact = RuleFidelity("bptt", "bptt", groups={"weights": GroupFidelity(cosine=1.0)})
    return gradient_limits({GRADIENT: GradientFidelity(parameters={"start": (exact,)}, learning_curves=curves)})


def test_learning_curves_are_drawn_and_printed() -> None:
    curves = made_curves(difference(0.005, -0.01, 0.02))
    group = GroupFidelity(cosine=0.5, relative_norm=1.0, bias=0.1)
    row = RuleFidelity("hybrid", "hybrid", False, 4, groups={"bias": group}, ms_per_step=1.0)
    record = GradientFidelity(
        surrogate=True, dataset="toy", phase="teacher-forced", segments=(Segment(),), steps=8,
        parameters={"start": (row,)}, learning_curves=curves,
    )  # fmt: skip
    lines = [line.get_xydata().tolist() for axes in learning_figure(curves).axes[:2] for line in axes.lines]
    assert lines == [[[4, 2], [8, 1]], [[4, 2], [8, 1]], [[1, 2], [2, 1]], [[3, 2], [6, 1]]]
    shown = [axes.get_title(loc="left") for axes in learning_figure(curves).axes[2:]]
    assert shown == ["after equal steps", "after equal time (2 s)"]
    console = Console(width=80, record=True, file=io.StringIO())
    print_fidelity(record, console)
    text = " ".join(console.export_text().split())
    for expected in (
        "SURROGATE toy", "tbptt: the loss is not finite", "after equal time (2 s of training)",
        "learning curves without pp-prop",
        "The cheap rule is as good: with and without credit through time are not distinguishable",
    ):  # fmt: skip
        assert expected in text
    blocks = "".join(gradient_section.blocks(record))
    assert "Does temporal credit matter?" in blocks and "The cheap rule is as good" in blocks
    assert "−0.005 [-0.020, +0.010]" in blocks or "-0.005 [-0.020, +0.010]" in blocks


def test_every_rule_is_fitted_and_what_is_undefined_is_left_out_with_its_reason(tmp_path: Path) -> None:
    config = configuration.read(write_files(tmp_path))
    job = runs.prepare(config)
    rules, reference, left_out = rules_to_fit(job)
    labels = ["hybrid", "d-rtrl", "tbptt", "pp-prop", "immediate", "immediate, K = 8", "bptt"]
    assert [one.label for one in rules] == [*labels, *(f"{label}, RMSprop" for label in labels)]
    assert (reference, left_out) == ("hybrid", ())
    assert {one.label for one in rules if not one.credit} == {
        "immediate", "immediate, K = 8", "immediate, RMSprop", "immediate, K = 8, RMSprop"
    }  # fmt: skip
    forced = runs.prepare(configuration.override(config, ["model.state_forcing=0.5", "train.optimiser=rmsprop"]))
    rules, reference, left_out = rules_to_fit(forced, ("rmsprop",))
    assert [one.label for one in rules] == [label for label in labels if label != "pp-prop"]
    assert left_out[0].rule == "pp-prop" and "carry = 'factorised' does not know" in left_out[0].reason
    own = {"d-rtrl": "d-rtrl", "tbptt": "tbptt", "immediate": "immediate", "bptt": "bptt"}
    for name, label in own.items():
        job = runs.prepare(configuration.override(config, [f"learner.preset={name}"]))
        rules, reference, _ = rules_to_fit(job, ())
        assert reference == label
        assert next(one.learner for one in rules if one.label == label) == job.learner


def test_the_command_measures_a_run_before_and_after_its_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connfit.cli.terminal.out_console.width", 80)
    config = configuration.override(configuration.read(write_files(tmp_path)), ["train.epochs=1"])
    runs.start(configuration.override(config, ["train.free_run_epochs=0"]), tmp_path / "run")
    options = ["--frames", "24", "--segments", "2", "--window", "4"]
    ran = CliRunner().invoke(cli.app, ["gradcheck", str(tmp_path / "run"), *options])
    assert ran.exit_code == 0, ran.output
    record = json.loads((tmp_path / "run" / "gradient_fidelity.json").read_text())
    assert plain(read_json(tmp_path / "run" / "gradient_fidelity.json", GradientFidelity)) == record
    assert list(record["parameters"]) == ["start", "fitted"]
    assert (record["steps"], record["phase"], len(record["segments"])) == (24, "teacher-forced", 2)
    start, fitted = record["parameters"].values()
    labels = [
        "bptt",
        "d-rtrl",
        "d-rtrl, bf16",
        "pp-prop",
        "immediate",
        "hybrid, K = 4",
        "tbptt, K = 4",
        "hybrid-pp, K = 4",
    ]
    assert [row["label"] for row in start] == [row["label"] for row in fitted] == labels
    assert start[1]["groups"]["weights"] != fitted[1]["groups"]["weights"]
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {
        f"{name}.{ending}" for name in ("gradient_fidelity", "gradient_cost") for ending in ("png", "svg")
    }
    assert all(text in ran.output for text in (labels[4], "at the start", "after the fit"))
    assert max(map(len, ran.output.replace(str(tmp_path), "").splitlines())) <= 80
    refused = CliRunner().invoke(cli.app, ["gradcheck", str(tmp_path / "run"), "--set", "seed=1"])
    assert isinstance(refused.exception, ConfigError) and "--set changes nothing" in str(refused.exception)
