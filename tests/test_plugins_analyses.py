"""Analyses: what each promises, and one of another package in the command line, `analysis.json` and the report."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from small import coarse_grid, student, write_files
from test_plugins import QUICK, connfit
from test_registry import plug_in

from connfit._io import plain
from connfit.analysis import pipeline
from connfit.analysis.analyses import ANALYSES, NEEDS, Analyzer
from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.fitted_brain import FittedBrain
from connfit.analysis.pipeline import _examined
from connfit.config import Config, DataConfig
from connfit.errors import ConnfitError
from connfit.report.sections.analysis_section import own_tables
from connfit.training.fitted import Fit

TOYS = '''
"""Two toys: what a package needs to add an analysis to connfit."""
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from connfit.errors import ConnfitError
from connfit.plugins import Analyzer, Options


@dataclass(frozen=True)
class Synchrony:
    """Share of variance that units have in common, of the data and of the fitted model."""

    data: float | None = None
    model: float | None = None
    frames: tuple[int, ...] = ()
    largest: str = ""


class SynchronyOptions(Options, frozen=True):
    most: Annotated[int, msgspec.Meta(ge=2)] = 1000


def examine(brain, *, most):
    def share(values):
        values = np.nan_to_num(values[:, :most])
        return float(values.mean(axis=1).var() / values.var(axis=0).mean())

    runs = brain.runs("model")
    return Synchrony(share(brain.data[0]), share(runs[0].units), tuple(map(len, brain.data)), brain.fit.cohort.units[0])


def findings(analysis):
    found = analysis.analyses["toy_synchrony"]
    return [f"Units share {found['data']:.0%} of their variance."]


def refuse(brain):
    raise ConnfitError("nobody measured it")


SYNCHRONY = Analyzer(
    name="toy_synchrony", label="toy synchrony", examine=examine, result=Synchrony, needs=("data", "free_run"),
    options=SynchronyOptions, findings=findings, in_short=lambda analysis: {"toy": analysis.analyses["toy_synchrony"]["data"]},
)
REFUSED = Analyzer(name="toy_refused", label="toy that is refused", examine=refuse, result=Synchrony)
'''  # noqa: E501

FEW = ("--repeats", "20", "--power-draws", "0", "--eigenvalues", "3")


@pytest.mark.slow
def test_an_analysis_of_another_package_is_run_written_and_reported(tmp_path: Path) -> None:
    points = {"toy_synchrony": "connfit_toy_analyses:SYNCHRONY", "toy_refused": "connfit_toy_analyses:REFUSED"}
    plug_in(tmp_path, "connfit_toy_analyses", TOYS, {"connfit.analyses": points})
    own, run = str(write_files(tmp_path)), tmp_path / "run"
    analyze = ("analyze", str(run), *FEW, "--set")
    done = connfit(
        tmp_path,
        ("analyze", "--help"),
        ("fit", own, "--out", str(run), "--baseline", "mean", *QUICK),
        (*analyze, "toy_synchrony.most=1"),
        (*analyze, "toy_synchrony.mots=3"),
        (*analyze, "toy_synchron.most=3"),
        (*analyze, "most=3"),
        (*analyze, "toy_synchrony.most=3"),
    )
    (_, helped), (fitted, said), *wrong, (code, output) = done
    assert "time_constants, spikes, toy_synchrony, toy_refused; with the options --set" in helped
    assert "--set spikes.neurons=150" in helped and "--set toy_synchrony.most=1000" in helped
    assert not fitted, said
    for (failed, said), message in zip(
        wrong,
        (
            "analyze.toy_synchrony.most: Expected `int` >= 2",
            "did you mean 'most'?",
            "did you mean 'toy_synchrony'?",
            "write it as name.option=value",
        ),
        strict=True,
    ):
        assert failed and message in said, said
    assert not code, output
    content = json.loads((run / "analysis" / "analysis.json").read_text())
    found = content["analyses"]["toy_synchrony"]
    assert 0 < found["data"] < 1 and found["largest"] and len(found["frames"]) == 2
    assert content["analyses_left_out"] == {"toy_refused": "nobody measured it"}
    assert content["options"]["analyses"] == {"toy_synchrony": {"most": 3}}
    assert json.loads((run / "metrics.json").read_text())["analysis"]["toy"] == found["data"]
    sentence = f"Units share {found['data']:.0%} of their variance."
    assert sentence in output and sentence == content["findings"][-1]
    page = (run / "report.html").read_text(encoding="utf-8")
    for text in (sentence, "Toy synchrony</caption>", found["largest"], f"{found['data']:.3f}", "nobody measured it"):
        assert text in page, text
    analysis = Analysis.read(run)
    assert analysis is not None and analysis.analyses == content["analyses"]
    # Where the package is not installed, what it found is shown all the same.
    assert "toy_synchrony" not in ANALYSES and "Toy synchrony</caption>" in own_tables(analysis)[0]


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> FittedBrain:
    """A brain that was not trained, with all analyses that stand before another one done."""
    one = student()
    fit = Fit(one.model, one.params, one.params, one.cohort, ())
    options = AnalysisOptions(eigenvalues=2, repeats=20, lyapunov_steps=50, power_draws=0)
    return FittedBrain(fit, one.connectome, Config(data=DataConfig()), options, tmp_path_factory.mktemp("rates"))


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_keeps_its_promises(name: str, brain: FittedBrain, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse_grid(monkeypatch.setattr)
    analyzer = ANALYSES[name]
    assert analyzer.label and set(analyzer.needs) <= set(NEEDS) and callable(analyzer.examine)
    assert analyzer.key in {field.name for field in fields(Analysis)}
    own = analyzer.options_of({}).as_dict()
    result = analyzer.examine(brain, **own)
    brain.results[name] = result
    assert isinstance(result, analyzer.result)
    # Equal seeds give equal results, and what is written has no NaN.
    assert plain(result, name) == plain(analyzer.examine(brain, **own), name)
    made = {ANALYSES[before].key: found for before, found in brain.results.items()}
    analysis = Analysis(**made)
    assert all(line[0].isupper() and line.endswith(".") for line in analyzer.findings(analysis))
    plain(analyzer.in_short(analysis))


def test_a_result_of_another_type_and_a_free_run_that_diverges(
    brain: FittedBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needs_runs(brain: FittedBrain) -> Analysis:
        return pytest.fail("it was to be left out")

    wrong = Analyzer(name="wrong", label="wrong", examine=lambda brain: 3.0, result=Analysis)
    with pytest.raises(TypeError, match="'wrong' returns float, not Analysis"):
        _examined(brain, wrong, wrong.options_of({}))
    monkeypatch.setattr(brain, "_runs", {"model": ConnfitError("it diverges")})
    runs = Analyzer(name="runs", label="runs", examine=needs_runs, result=Analysis, needs=("free_run",))
    with pytest.raises(ConnfitError, match="it diverges"):
        _examined(brain, runs, runs.options_of({}))


def test_findings_of_another_package_that_fail_cost_themselves(
    brain: FittedBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(analysis: Analysis) -> tuple[str, ...]:
        raise AttributeError("field")

    own = next(analyzer for analyzer in ANALYSES.values() if analyzer.key)
    good = replace(own, name="good", key="", findings=lambda analysis: ("It is good.",))
    outside = replace(own, name="outside", key="", findings=broken)
    monkeypatch.setattr(pipeline, "ANALYSES", {"outside": outside, "good": good})
    said, left_out = pipeline._findings(Analysis())
    assert said == ("It is good.",) and left_out == {"outside": "its findings failed (AttributeError: field)"}
    monkeypatch.setattr(pipeline, "ANALYSES", {"own": replace(own, findings=broken)})
    with pytest.raises(AttributeError):
        pipeline._findings(Analysis())
