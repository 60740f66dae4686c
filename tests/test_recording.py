"""Recording and its parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connfit.errors import ConfigError, DataError
from connfit.recordings import Parts, Recording


def recording(frames: int = 20, count: int = 3, **changes: object) -> Recording:
    values = np.arange(frames * count, dtype=float).reshape(frames, count)
    return Recording(
        **{"name": "r", "values": values, "units": tuple("abcdefgh"[:count]), "frame_rate": 2.0, **changes}
    )


@given(st.integers(4, 500), st.floats(0.05, 0.9), st.floats(0, 0.9), st.integers(0, 10))
def test_parts_are_consecutive_blocks_with_gaps(frames: int, train: float, validation: float, gap: int) -> None:
    try:
        parts = Parts.of(frames, train=train, validation=validation, gap=gap)
    except ConfigError as error:
        none = validation and round(train * frames) + gap >= round((train + validation) * frames)
        assert train + validation >= 1 or "too few" in str(error) or (none and "without a frame" in str(error))
        return
    assert 0 == parts.train[0] < parts.train[1] <= parts.validation[0] <= parts.validation[1] <= parts.test[0]
    assert parts.test[1] == frames > parts.test[0]
    assert parts.test[0] - parts.train[1] >= gap
    if validation:
        assert parts.validation[0] < parts.validation[1]
        assert parts.validation[0] - parts.train[1] == gap == parts.test[0] - parts.validation[1]


@pytest.mark.parametrize(
    "blocks", [((0, 5), (4, 6), (6, 9)), ((5, 0), (5, 6), (6, 9)), ((0, 0), (0, 1), (1, 2)), ((-1, 2), (2, 3), (3, 4))]
)
def test_parts_that_overlap_or_run_backwards(blocks: tuple) -> None:
    with pytest.raises(ConfigError):
        Parts(*blocks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.zeros(5)}, "shape"),
        ({"values": np.zeros((0, 3))}, "shape"),
        ({"values": np.full((20, 3), "x")}, "real numbers"),
        ({"values": np.zeros((20, 3), complex)}, "real numbers"),
        ({"units": ("a", "b")}, "2 unit names for 3 columns"),
        ({"units": ("a", "b", "a")}, "repeat: a"),
        ({"frame_rate": 0.0}, "must be positive"),
        ({"frame_rate": float("nan")}, "must be positive"),
        ({"mask": np.ones((2, 2), bool)}, "mask has shape"),
        (
            {"values": np.where(np.eye(20, 3) > 0, np.nan, 0)},
            "3 observed values are not finite, the first at frame 0, unit 'a'",
        ),
        ({"parts": Parts((0, 5), (5, 10), (10, 21))}, "parts end at frame 21"),
    ],
)
def test_contradictions_are_named(changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        recording(**changes)


def test_missing_values_may_be_nan_where_the_mask_says_so() -> None:
    values = np.zeros((20, 3))
    values[3, 1] = np.nan
    kept = recording(values=values, mask=np.isfinite(values))
    assert not kept.mask[3, 1] and kept.mask.sum() == 59


def test_parts_selection_and_integers() -> None:
    cut = recording(values=np.arange(60).reshape(20, 3)).split(train=0.5, validation=0.25, gap=1)
    assert cut.values.dtype == np.float32 and cut.duration_s == 10
    values, mask = cut.part("validation")
    np.testing.assert_array_equal(values[:, 0], np.arange(11, 15) * 3)
    assert mask.all()
    chosen = cut.select_units(["c", "a"])
    assert chosen.units == ("c", "a") and chosen.parts == cut.parts
    np.testing.assert_array_equal(chosen.values, cut.values[:, [2, 0]])
    with pytest.raises(DataError, match="no units named x"):
        cut.select_units(["a", "x"])
    with pytest.raises(ConfigError, match="no part 'training'"):
        cut.part("training")
    with pytest.raises(ConfigError, match=r"recording\.split"):
        recording().part("train")


@pytest.mark.parametrize("wrong", [7, np.int64(7), b"7", None])
def test_units_that_are_no_text_are_refused_by_their_type(wrong: object) -> None:
    with pytest.raises(DataError, match=rf"units are named by text, but .+ is of type {type(wrong).__name__}"):
        Recording("numbers", np.ones((9, 2)), ("a", wrong), 1.0)  # type: ignore[arg-type]
