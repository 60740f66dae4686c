"""Recovery of known parameters: students find what the data determine, and say where they do not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from connfit import cli
from connfit._io import plain, read_json
from connfit.analysis.recovery import (
    Condition,
    Design,
    KnownTeacher,
    Recovery,
    TeacherSettings,
    Training,
    activity,
    agreement,
    choose_recorded,
    make_student,
    recover,
    regress,
    run_condition,
)
from connfit.analysis.recovery.recovery_results import Agreement, OverSeeds, ParameterAgreement
from connfit.analysis.recovery.student import true_params
from connfit.errors import ConfigError, DataError
from connfit.report.sections import recovery_section

SMALL = Design(
    neurons=60,
    frames=(1000,),
    recorded=(1.0, 0.2),
    process_noise=(0.5,),
    observation_noise=(0.0,),
    strengths=("free",),
    base_frames=1000,
    seeds=1,
    training=Training(updates=400, learning_rate=2e-2),
)


@pytest.fixture(scope="module")
def teacher() -> KnownTeacher:
    return KnownTeacher.draw(TeacherSettings(neurons=60), 0)


def test_agreement_of_numbers_with_known_answers() -> None:
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    assert agreement(truth, truth).r2 == 1
    assert agreement(truth, truth[::-1]).r2 == pytest.approx(1 - 20 / 5)
    scaled = agreement(truth, 10 * truth)
    assert scaled.r == pytest.approx(1) and scaled.r2 < 0  # a wrong scale is an error
    logs = agreement(truth, np.array([1.0, 0.0, 3.0, 4.0]), log=True)
    assert logs.left_out == 1 and logs.n == 3 and logs.r2 == pytest.approx(1)
    assert agreement(truth[:2], truth[:2]).reason == "2 pairs are too few"
    assert agreement(np.ones(4), truth).reason == "the truth is the same everywhere"


def test_activity_of_neurons_that_do_not_vary_is_counted() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((200, 3))
    predicted = truth.copy()
    predicted[:, 2] = 5.0
    found = activity(truth, predicted, np.array([True, True, True]))
    assert found.undefined == 1 and found.r == pytest.approx([1, 1, 1])
    assert activity(truth, predicted, np.zeros(3, bool)).reason == "there are no such neurons"


def test_the_teacher_is_the_model_with_its_own_parameters(teacher: KnownTeacher) -> None:
    """Without private noise the student's step from the teacher's rates gives the teacher's next rates."""
    rates = teacher.play(400, process_noise=0.0)
    recorded = choose_recorded(teacher, 1.0)
    followed = teacher.follow(rates, recorded, 1.0)
    others = ~teacher.sensory
    np.testing.assert_allclose(followed[:, others], rates[1:, others], rtol=1e-10)
    student = make_student(teacher, rates, recorded, strengths="known")
    params = {
        **student.params,
        "log_time_constants": np.log(teacher.time_constants).astype(np.float32),
        "bias": teacher.bias.astype(np.float32),
    }
    # float32, one step from recorded rates
    np.testing.assert_allclose(student.predict(params, rates)[:, others], rates[1:, others], rtol=2e-5)


@pytest.mark.parametrize("cell", ["adaptive-rate", pytest.param("rate-calcium", marks=pytest.mark.slow), "two-channel"])
def test_teachers_of_other_cells_are_the_model_too(cell: str) -> None:
    """A student with a teacher's own parameters follows what is recorded as the teacher does, hidden states too."""
    teacher = KnownTeacher.draw(TeacherSettings(neurons=60, cell=cell), 0)
    values = teacher.play(300, process_noise=0.3)
    others, recorded = ~teacher.sensory, choose_recorded(teacher, 1.0)
    assert (values[:, others].std(axis=0) > 0.01).all() and (values[:, others].mean(axis=0) < 3).all()
    student = make_student(teacher, values, recorded, strengths="known")
    assert set(teacher.own) == {one.name for one in student.model.neuron.parameters} <= set(student.trained)
    own = {
        one.key: np.log(teacher.own[one.name]) if one.key.startswith("log_") else teacher.own[one.name]
        for one in student.model.neuron.parameters
    }
    params = {
        **student.params,
        "log_time_constants": np.log(teacher.time_constants),
        "bias": teacher.bias,
        **own,
    }
    params = {key: np.asarray(value, np.float32) for key, value in params.items()}
    got, expected = student.predict(params, values), teacher.follow(values, recorded, 1.0)
    np.testing.assert_allclose(got[:, others], expected[:, others], rtol=1e-3, atol=1e-4)


SEEN: dict[str, Any] = {"indicator": "order-2", "decay_s": 1.5, "rise_s": 0.4}


@pytest.mark.parametrize(
    "settings",
    [
        {**SEEN, "inputs": 2},
        pytest.param({**SEEN, "cell": "rate-calcium"}, marks=pytest.mark.slow),
        pytest.param({"indicator": "order-1", "decay_s": 1.0, "cell": "two-channel"}, marks=pytest.mark.slow),
        pytest.param({"inputs": 1, "cell": "adaptive-rate"}, marks=pytest.mark.slow),
    ],
)
def test_a_teacher_behind_an_indicator_with_inputs_is_the_model_too(settings: dict[str, Any]) -> None:
    """Without private noise the true parameters predict what is recorded; without the inputs' weights they do not."""
    teacher = KnownTeacher.draw(TeacherSettings(neurons=60, **settings), 0)
    others, frames = ~teacher.sensory, 300
    values = teacher.indicated(teacher.play(frames, process_noise=0.0))
    channels = None if teacher.inputs is None else teacher.inputs.play(frames)
    student = make_student(teacher, values, choose_recorded(teacher, 1.0), strengths="known", channels=channels)
    params = true_params(student, teacher)
    found = student.predict(params, values, channels)
    late = slice(30, None)  # hidden states settle first
    np.testing.assert_allclose(found[late, others], values[1:, others][late], rtol=1e-4)  # float32, gains of 1/(1-β)
    if channels is not None:
        lost = student.predict({**params, "inputs": 0 * params["inputs"]}, values, channels)
        assert np.abs(lost[late, others] - values[1:, others][late]).max() > 0.01


@pytest.mark.parametrize("knows", ["all", pytest.param("no_inputs", marks=pytest.mark.slow)])
def test_inputs_and_an_indicator_are_recovered_and_scored(knows: str) -> None:
    design = replace(SMALL, indicator="order-1", decay_s=1.0, inputs=2)
    found = run_condition(Condition(1000, knows=knows), design)
    assert found.recovered is not None and found.at_start is not None and found.regression is None
    decay = found.indicator["indicator_decay"]
    assert decay.true_s == 1 and decay.start_s == pytest.approx(1.5)
    if knows == "no_inputs":
        assert not found.recovered.inputs and "inputs" not in found.parameters
        return
    assert decay.found_s < 1.4
    neurons = found.neurons - found.sensory_neurons
    assert found.parameters["inputs"] == 2 * neurons == found.recovered.inputs["all"].n
    assert (found.recovered.inputs["all"].r2 or 0) > 0.8 > (found.at_start.inputs["all"].r2 or 0)
    assert (parameters(found.recovered)["all"].r2 or 0) > (parameters(found.at_start)["all"].r2 or 0) + 0.2


@pytest.mark.slow
def test_a_student_that_takes_calcium_for_rates_finds_slow_neurons() -> None:
    design = replace(SMALL, indicator="order-1", decay_s=1.5)
    blind, seeing = (run_condition(Condition(1000, knows=knows), design) for knows in ("no_indicator", "all"))
    assert blind.recovered is not None and seeing.recovered is not None
    ratios = [found.recovered.time_constants_ratio or 0 for found in (blind, seeing)]
    assert ratios[0] > 1.5 and abs(ratios[1] - 1) < 0.2
    assert not blind.indicator and seeing.indicator


def test_inputs_of_a_table_are_played_to_teachers(tmp_path: Path) -> None:
    path = tmp_path / "light.csv"
    light = 5 + 2 * np.random.default_rng(0).standard_normal(80)
    rows = [f"{k / 2},{value},{k % 3}" for k, value in enumerate(light)]
    path.write_text("\n".join(["time_s,light,touch", *rows]))
    settings = TeacherSettings(neurons=40, input_file=str(path), input_columns=("light",))
    teacher = KnownTeacher.draw(settings, 0)
    assert teacher.inputs is not None and teacher.inputs.channels == ("light",)
    np.testing.assert_allclose(teacher.inputs.play(80)[:, 0], light)
    currents = teacher.inputs.currents(80)
    assert not currents[0].any() and not currents[:, teacher.sensory].any()
    z = (light - light.mean()) / light.std()
    np.testing.assert_allclose(currents[1:], z[:-1, None] * teacher.inputs.weights[:, 0], rtol=1e-12)
    with pytest.raises(DataError, match=r"light\.csv.*its 80 frames are fewer than the 1150"):
        recover(Design(neurons=40, frames=(300,), base_frames=300, input_file=str(path)), tmp_path / "out")
    with pytest.raises(DataError, match=r"no column.*smell"):
        KnownTeacher.draw(replace(settings, input_columns=("smell",)), 0)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["adaptive-rate", "two-channel"])
def test_parameters_of_a_cell_are_recovered_and_scored(cell: str) -> None:
    found = run_condition(Condition(1000), replace(SMALL, cell=cell))
    assert found.recovered is not None and found.at_start is not None and found.regression is None
    own = {key: agreements["all"] for key, agreements in found.recovered.own.items()}
    assert own and all(each.n == found.recorded_neurons and each.r2 is not None for each in own.values())
    if cell == "two-channel":  # how slow adaptation is shows in the activity of far longer recordings only
        assert (own["log_excitatory_decay"].rank or 0) > 0.2
    assert (parameters(found.recovered)["all"].r2 or 0) > (parameters(found.at_start)["all"].r2 or 0) + 0.2


def test_the_regression_finds_a_teacher_whose_expectation_it_is_given(teacher: KnownTeacher) -> None:
    """With little private noise the least-squares answer is near the truth: its error is the noise over the drive."""
    weights, time_constants, bias = regress(teacher, teacher.play(4000, process_noise=0.5))
    others = ~teacher.sensory
    assert agreement(teacher.weights, weights).r2 > 0.9
    assert agreement(teacher.time_constants[others], time_constants[others], log=True).r2 > 0.9
    assert agreement(teacher.bias[others], bias[others]).r2 > 0.6
    short = regress(teacher, teacher.play(200, process_noise=0.5))[0]
    assert agreement(teacher.weights, short).r2 < agreement(teacher.weights, weights).r2 - 0.05


def parameters(found: ParameterAgreement | None) -> Mapping[str, Agreement]:
    assert found is not None
    return found.weights


def test_a_student_of_all_neurons_recovers_more_than_one_of_few(tmp_path: Path) -> None:
    whole = run_condition(Condition(1000), SMALL)
    few = run_condition(Condition(1000, recorded=0.2), SMALL)
    found = [parameters(each.recovered)["all"].r2 or 0 for each in (whole, few)]
    at_start = parameters(whole.at_start)["all"].r2 or 0
    # The direct solution is the most that the loss allows; training comes near it, and leaves the start behind.
    assert found[0] > (parameters(whole.regression)["all"].r2 or 0) - 0.15
    assert found[0] > at_start + 0.2 and found[0] > found[1] + 0.2
    assert few.regression is None and whole.activity is not None and few.activity is not None
    assert whole.activity.unrecorded["fitted"].neurons == 0
    teachers, shuffled = (few.activity.unrecorded[name].r for name in ("teacher", "shuffled"))
    assert teachers is not None and shuffled is not None and teachers[1] > shuffled[1]
    assert whole.observations == 1000 * whole.recorded_neurons


def test_wiring_that_is_wrong_recovers_nothing_of_the_strengths(teacher: KnownTeacher) -> None:
    """The control: believing in connections that are not there, a student predicts new activity less well."""
    from connfit.connectome.nulls import make_null

    measured = teacher.play(1250, process_noise=0.5)
    recorded = choose_recorded(teacher, 1.0)
    training = Training(updates=300, learning_rate=2e-2)
    skills = []
    for brain in (teacher.connectome, make_null(teacher.connectome, "rewire_degrees", 1)):
        fitted = make_student(teacher, measured, recorded, connectome=brain).fit(training)
        skills.append(max(row["validation_skill"] for row in fitted.history))
    assert skills[0] > skills[1] + 0.03


def test_mistakes_name_the_option() -> None:
    with pytest.raises(ConfigError, match=r"frames = 10 must be 50 or more"):
        Condition(10)
    with pytest.raises(ConfigError, match="strengths of a student"):
        Design(strengths=("all",))
    with pytest.raises(ConfigError, match="did you mean 'adaptive-rate'"):
        Design(cell="adaptive-rat")
    with pytest.raises(ConfigError, match="no value for recorded"):
        Design(recorded=())
    with pytest.raises(ConfigError, match=r"recorded = 1\.5"):
        choose_recorded(KnownTeacher.draw(TeacherSettings(neurons=40), 0), 1.5)
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"indicator": "order-1"}, "indicator = 'order-1' needs decay_s"),
        ({"decay_s": 1.0}, "decay_s = 1, but indicator = 'none' has no decay"),
        ({"indicator": "order-1", "decay_s": -1.0}, "decay_s = -1 must be a time in seconds"),
        ({"indicator": "order1"}, "order-1"),
        ({"inputs": -1}, "inputs = -1 channels"),
        ({"input_columns": ("light",)}, "name one as input_file"),
    )
    for given, message in wrong:
        with pytest.raises(ConfigError, match=message):
            Design(**given)
    with pytest.raises(ConfigError, match=r"neurons = 5 must be 30 or more"):
        TeacherSettings(neurons=5)


@pytest.mark.slow
def test_the_command_writes_what_the_report_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connfit.cli.terminal.out_console.width", 80)
    out = tmp_path / "recovery"
    command = [
        "recover",
        "--neurons",
        "40",
        "--frames",
        "300",
        "--recorded",
        "1",
        "--recorded",
        "0.2",
        "--noise",
        "0.5",
    ]
    command += ["--noise", "0.5", "--observation-noise", "0", "--strengths", "free", "--seeds", "1"]
    command += ["--updates", "30", "--out", str(out), "--cell", "adaptive-rate"]
    command += ["--indicator", "order-1", "--decay", "1.5", "--inputs", "1"]
    done = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert done.exit_code == 0 and "SURROGATE teachers of 40 neurons" in done.output
    assert "parameters of the cell" in " ".join(done.output.split()) and "adaptation" in done.output
    assert all(len(line) <= 80 for line in done.output.splitlines() if "R²" in line)
    record = json.loads((out / "recovery.json").read_text())
    assert record["surrogate"] is True and record["complete"] is True and len(record["conditions"]) == 5
    assert {path.name for path in (out / "figures").iterdir()} >= {"recovery_curves.png", "recovery_conditions.png"}
    recovery = read_json(out / "recovery.json", Recovery)
    assert plain(recovery) == record and len(recovery.points) == 5
    shown = " ".join(done.output.split())
    assert "seen through an indicator (decay 1.5 s) with 1 drawn inputs" in shown and "decay ratio" in shown
    assert [point.knows for point in recovery.curves["indicator"]] == ["all", "rates", "no_indicator"]
    assert "Taken for rates, what the indicator shows" in shown and "Given the external inputs" in shown
    assert recovery_section.blocks(recovery) and len(recovery_section.drawings(recovery)) == 2
    point, result = recovery.curves["frames"][0], recovery.conditions[0]
    assert result.recovered is not None and result.activity is not None
    assert set(point.own_r2) == {"adaptation_strength", "log_adaptation_time"} == set(result.recovered.own)
    assert point.weights_r2 == OverSeeds.of([result.recovered.weights["all"].r2])
    quartiles = result.activity.recorded["fitted"].r
    assert quartiles is not None and point.recorded_r is not None and point.recorded_r.mean == quartiles[1]
    unfinished = replace(recovery, complete=False)
    assert "The run was interrupted" in recovery_section.blocks(unfinished)[0]
    assert "interrupted" not in recovery_section.blocks(recovery)[0]
    (out / "recovery.json").write_text(json.dumps({**record, "conditions": [{"frames": "many"}]}))
    with pytest.raises(DataError, match=r"recovery\.json: .*conditions\[0\]\.frames"):
        read_json(out / "recovery.json", Recovery)
