"""Agreement of seeds and words of a study, against cases whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from connfit.evaluation.study.agreements import Agreement, PredictionAgreement
from connfit.evaluation.study.reproducibility import agreement, by_part, flat_groups, prediction_agreement
from connfit.evaluation.study.study import Comparisons, Difference, Study, StudyRow
from connfit.evaluation.study.verdict import verdict_sentences

N = 20_000


def parts(seed: int, count: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, N))


def test_changes_with_a_common_part_correlate_by_its_share() -> None:
    """change = common + own noise: correlation is var(common) / (var(common) + var(own)), within 4 / sqrt(N)."""
    common, *own = parts(0)
    starts = 5 + parts(1, 3)
    changes = np.stack([2 * common + one for one in own])
    found = agreement("weights", starts, starts + changes)
    assert found.change_pearson == pytest.approx(4 / 5, abs=4 / np.sqrt(N))
    assert found.start_pearson == pytest.approx(0, abs=4 / np.sqrt(N))
    # The same of values after the fit: var(common) / (var(start) + var(common) + var(own)).
    assert found.pearson == pytest.approx(4 / 6, abs=4 / np.sqrt(N))
    # Of normal variables Spearman's is 6/pi asin(r/2).
    assert found.change_spearman == pytest.approx(6 / np.pi * np.arcsin(0.4), abs=4 / np.sqrt(N))
    assert found.change_low is not None and found.change_high is not None
    assert found.change_low <= 4 / 5 + 0.03 and found.change_high >= 4 / 5 - 0.03


def test_a_shared_start_makes_values_agree_but_not_changes() -> None:
    start, *own = parts(2)
    starts = np.tile(start, (3, 1))
    found = agreement("drive", starts, starts + 0.1 * np.stack(own))
    assert found.pearson == pytest.approx(1 / 1.01, abs=1e-3)
    assert found.change_pearson == pytest.approx(0, abs=4 / np.sqrt(N))
    assert found.spread_ratio is None and found.moved == pytest.approx(0.1, rel=0.05)


def test_seeds_that_meet_have_a_spread_of_nothing() -> None:
    """All seeds end at the same values wherever they started: changes correlate by half, spreads vanish."""
    end, *starts = parts(3)
    found = agreement("bias", np.stack(starts), np.tile(end, (3, 1)))
    assert found.pearson == pytest.approx(1) and found.spread_ratio == pytest.approx(0, abs=1e-12)
    assert found.change_pearson == pytest.approx(0.5, abs=4 / np.sqrt(N))


def test_logarithms_are_of_what_is_positive_in_all_seeds() -> None:
    log = np.stack([parts(4)[0] + 0.5 * one for one in parts(5, 2)])
    ends = np.exp(log)
    ends[0, :1000] = 0
    ends[1, 500:2000] = 0
    found = agreement("weights", np.ones_like(ends), ends)
    assert found.positive == pytest.approx(1 - 2000 / N)
    assert found.log_pearson == pytest.approx(np.corrcoef(log[:, 2000:])[0, 1])
    assert agreement("bias", -np.ones_like(ends), ends).log_pearson is None


def test_rank_correlation_is_that_of_scipy_with_ties() -> None:
    ends = np.random.default_rng(6).integers(0, 5, (2, 500)).astype(float)
    found = agreement("weights", np.zeros_like(ends), ends)
    assert found.spearman == pytest.approx(stats.spearmanr(*ends)[0])
    assert found.moved is None  # from 0 every change is infinitely large


def test_what_is_not_defined_says_why() -> None:
    assert "2 are needed" in str(agreement("weights", np.ones((1, 50)), np.ones((1, 50))).reason)
    assert "10 are needed" in str(agreement("weights", np.ones((2, 5)), np.ones((2, 5))).reason)
    fixed = agreement("weights", parts(7, 2), parts(7, 2))
    assert fixed.reason == "not changed by the fit" and fixed.change_pearson is None
    shifted = agreement("bias", parts(7, 2), parts(7, 2) + 1.0)
    assert shifted.reason == "the change does not vary over parameters"


def test_by_part_is_the_agreement_within_each() -> None:
    starts, ends = parts(8, 2), parts(9, 2)
    part = np.array(["A"] * 12_000 + ["B"] * 7_995 + ["C"] * 3 + [""] * 2)
    found = by_part(starts, ends, part)
    assert [one.group for one in found] == ["A", "B"]
    expected = agreement("B", starts[:, 12_000:19_995], ends[:, 12_000:19_995])
    assert found[1].count == 7_995
    assert found[1].pearson == pytest.approx(expected.pearson, rel=1e-9)
    assert found[1].change_pearson == pytest.approx(expected.change_pearson, rel=1e-9)


def test_predictions_that_repeat_the_last_frame_agree_but_say_nothing() -> None:
    """What is said beyond the last frame is independent between seeds; levels agree all the same."""
    rng = np.random.default_rng(10)
    last = np.cumsum(rng.standard_normal((400, 20)), axis=0) + 100 * np.arange(20)
    predictions = [last + 0.3 * rng.standard_normal(last.shape) for _ in range(3)]
    found = prediction_agreement(predictions, last, 1)
    assert found.pearson is not None and found.pearson > 0.99
    assert found.change_pearson == pytest.approx(0, abs=4 / np.sqrt(8000))
    # Levels of units, which differ by thousands, count for nothing.
    unrelated = [rng.standard_normal(last.shape) + 100 * np.arange(20) for _ in range(3)]
    assert prediction_agreement(unrelated, last, 1).pearson == pytest.approx(0, abs=4 / np.sqrt(8000))


def test_predictions_only_count_where_all_seeds_have_one() -> None:
    rng = np.random.default_rng(11)
    both = rng.standard_normal((100, 4))
    first, second = both.copy(), both.copy()
    first[:50] = np.nan
    assert prediction_agreement([first, second], np.zeros_like(both), 1).count == 200
    assert prediction_agreement([first], np.zeros_like(both), 1).reason == "1 seed, 2 are needed"


def group(name: str, change: float) -> Agreement:
    return Agreement(name, 100, 3, 0.5, 0.5, 0.6, 0.6, None, None, change, change, change, change, 0.1, 1.0)


def test_flat_is_what_does_not_agree_although_predictions_do() -> None:
    alike = [PredictionAgreement(1, 100, 0.99, 0.9), PredictionAgreement(10, 100, 0.96, 0.8)]
    apart = [PredictionAgreement(1, 100, 0.99, 0.9), PredictionAgreement(10, 100, 0.90, 0.8)]
    groups = [group("weights", 0.05), group("bias", 0.8)]
    names, sentences = flat_groups(groups, alike)
    assert names == ("weights",) and any("flat direction" in one for one in sentences)
    assert flat_groups(groups, apart)[0] == ()
    assert flat_groups(groups, [])[0] == ()


# Verdict


def row(name: str, kind: str, *outcomes: str, corrected: bool = True, reason: str | None = None) -> StudyRow:
    difference = {
        h: Difference(outcome=outcome, excludes_zero_corrected=corrected and outcome != "tie")
        for h, outcome in zip((1, 10), outcomes, strict=False)
    }
    return StudyRow(name, kind, seeds=() if reason else (0, 1), reason=reason, difference=difference or None)


OURS = row("connectome", "connectome")


def table(*rows: StudyRow, ours: StudyRow = OURS) -> Study:
    return Study(rows=(ours, *rows), comparisons=Comparisons(horizons=(1, 10)))


def test_winners_losers_and_ties_are_named() -> None:
    sentences = verdict_sentences(
        table(
            row("mean", "baseline", "better", "tie"),
            row("var_ridge", "baseline", "worse", "worse"),
            row("no_recurrence", "null", "tie", "better", corrected=False),
        )
    )
    assert sentences[0] == (
        "One frame ahead the connectome model beats the mean; is not distinguishable from null no recurrence; and "
        "loses to ridge VAR."
    )
    assert sentences[1] == (
        "10 frames ahead the connectome model beats null no recurrence (not after correction); is not distinguishable "
        "from the mean; and loses to ridge VAR."
    )


def test_wiring_that_does_not_matter_is_said() -> None:
    sentences = verdict_sentences(
        table(row("rewire_degrees", "null", "tie", "worse"), row("shuffle_signs", "null", "tie", "tie"))
    )
    assert "Null connectomes that the real wiring beats: 0 of 2 at 1 frame, 0 of 2 at 10 frames." in sentences
    assert any("no evidence that the wiring matters" in one for one in sentences)
    assert "At one or more horizons it does worse than null rewire degrees." in sentences


def test_wiring_that_beats_every_null_is_said() -> None:
    sentences = verdict_sentences(
        table(row("rewire_degrees", "null", "tie", "better"), row("shuffle_signs", "null", "better", "better"))
    )
    assert "The real wiring beats every null connectome at 10 frames." in sentences
    assert not any("no evidence" in one for one in sentences)


def test_one_seed_and_rows_without_numbers_are_said() -> None:
    found = table(row("gru", "baseline", reason="too few frames"), ours=replace(OURS, seeds=(0,)))
    sentences = verdict_sentences(found)
    assert sentences[0].startswith("One seed only") and sentences[-1] == "The GRU has no numbers: too few frames."


def test_without_the_connectome_model_there_is_no_verdict() -> None:
    ours = replace(OURS, seeds=(), reason="it diverged")
    assert verdict_sentences(table(row("mean", "baseline", "better", "better"), ours=ours)) == (
        "The connectome model could not be fitted (it diverged): nothing can be compared.",
    )
