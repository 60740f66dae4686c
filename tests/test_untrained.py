"""A fit that ends where it began says so: in `Fit`, in metrics.json and on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import student, write_files

from connfit import config as configuration
from connfit import report
from connfit.cli.evaluate_command import evaluate_and_report
from connfit.config import TrainConfig
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import Training
from connfit.training import runs
from connfit.training.fit import train
from connfit.training.fitted import Fit, TrainingRecord
from connfit.training.learners import WindowedLearner

SAID = "no epoch was better on validation than the start: parameters are those before training"


def fit_small(**options: object) -> Fit:
    one = student()
    trained: tuple[str, ...] | None = options.pop("trained", None)  # type: ignore[assignment]
    config = TrainConfig(**{"epochs": 2, "learning_rate": 0.01, "warmup_frames": 5, **options})  # type: ignore[arg-type]
    return train(one.model, one.params, one.cohort, WindowedLearner(8), config, trained=trained)


def test_a_fit_that_only_does_harm_is_not_called_trained() -> None:
    fitted = fit_small(epochs=30, learning_rate=3.0, patience=2)
    assert not fitted.trained and fitted.best_epoch is None and fitted.changed == ()
    assert fitted.training_record() == TrainingRecord(trained=False, best_epoch=None, epochs=2, changed=())
    assert (fitted.unchanged_warning() or "").startswith(SAID)


def test_a_fit_that_helps_names_its_epoch_and_the_groups_that_moved() -> None:
    fitted = fit_small(epochs=4, trained=("weights", "bias"))
    best = int(np.argmax([row["selection"] for row in fitted.history]))
    expected = TrainingRecord(trained=True, best_epoch=best, epochs=4, changed=("weights", "bias"))
    assert fitted.training_record() == expected
    assert fitted.unchanged_warning() is None


def test_no_epoch_is_not_called_training() -> None:
    fitted = fit_small(epochs=0)
    assert fitted.training_record() == TrainingRecord(trained=False, best_epoch=None, epochs=0, changed=())
    assert "no epoch was run" in (fitted.unchanged_warning() or "")


def test_with_nothing_to_learn_no_learning_rate_is_searched() -> None:
    fitted = fit_small(epochs=2, learning_rate="auto", trained=())
    assert not fitted.trained and fitted.rates is None and fitted.history == ()
    assert "no epoch was run" in (fitted.unchanged_warning() or "")


def test_the_run_and_its_metrics_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "write_report", lambda out: out / "report.html")
    harm = ["train.learning_rate=3.0", "train.patience=1", "train.free_run_epochs=0", 'evaluate.baselines=["mean"]']
    config = configuration.override(configuration.read(write_files(tmp_path)), harm)
    out = tmp_path / "run"
    fitted = runs.start(config, out)
    assert runs.load_fit(out).training_record() == fitted.training_record()
    evaluate_and_report(fitted, out)
    said = " ".join(capsys.readouterr().out.split())
    assert "This model was not trained: no epoch was better on validation than the start." in said
    metrics = read_evaluation(out)
    assert metrics.training == Training(trained=False, epochs=1, trial_epochs=0)
    assert set((metrics.parameters or {}).values()) == {0}
    assert (metrics.parameters_available or {})["weights"] == len(np.asarray(fitted.params["weights"]))
