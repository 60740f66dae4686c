"""Functional connectivity of the regional recordings by the recipe of Turner et al. 2021."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import signal
from test_turner import DROPOUTS, read, responses

from connfit.datasets.turner_fc import TURNER_REGIONS, turner_functional_connectivity
from connfit.errors import DataError
from connfit.recordings.preprocess import preprocess


def independent_z(table: pd.DataFrame, rows: list[int], keep: np.ndarray) -> np.ndarray:
    """The recipe of the paper, written down a second time from its description: rows are regions."""
    # The first-order high-pass by the bilinear transform with prewarping, as a recursion.
    k = np.tan(np.pi * 0.01 / 1.2)
    b, a = 1 / (1 + k), (k - 1) / (k + 1)
    raw = table.loc[rows].to_numpy()
    out = np.zeros_like(raw)
    before_in, before_out = np.zeros(len(raw)), np.zeros(len(raw))
    for t in range(raw.shape[1]):
        before_out = b * (raw[:, t] - before_in) - a * before_out
        before_in = raw[:, t]
        out[:, t] = before_out
    z = np.corrcoef(out[:, keep])
    np.fill_diagonal(z, np.nan)
    return np.arctanh(z)


def test_functional_connectivity_is_the_published_recipe(tmp_path: Path) -> None:
    regions = ("MB_CA_L", "AL_R", "WED_L")
    first, second = responses(2000, seed=1), responses(2000, labels=(0, 1, 5, 7), seed=2)
    flies = [read(tmp_path, first, DROPOUTS, trim=False), read(tmp_path, second, trim=False)]
    found = turner_functional_connectivity(flies, regions)
    assert found.n_flies == 2 and found.regions == regions and found.z.shape == (2, 3, 3)
    z1 = independent_z(first, [5, 1, 2], np.r_[100:900, 1100:2000])
    np.testing.assert_allclose(found.z[0], z1, atol=1e-9)
    # The second fly lacks WED_L, label 2.
    z2 = independent_z(second, [5, 1], np.arange(100, 2000))
    np.testing.assert_allclose(found.z[1, :2, :2], z2, atol=1e-9)
    assert np.isnan(found.z[1, 2]).all() and np.isnan(found.z[1, :, 2]).all()
    assert found.flies.tolist() == [[0, 2, 1], [2, 0, 1], [1, 1, 0]]
    assert np.isnan(np.diag(found.mean_z)).all()
    np.testing.assert_allclose(found.mean_z[0, 1], (z1[0, 1] + z2[0, 1]) / 2, atol=1e-9)
    np.testing.assert_allclose(found.mean_z[0, 2], z1[0, 2], atol=1e-9)
    np.testing.assert_allclose(found.mean_z, found.mean_z.T)


def test_filter_runs_before_trimming(tmp_path: Path) -> None:
    """A step in the gap of a fly decays after it; cutting first would remove it."""
    table = responses(2000)
    table.loc[[1, 7], 1090:] += 200
    recording = read(tmp_path, table, DROPOUTS, trim=False)
    found = turner_functional_connectivity([recording], ("AL_R", "WED_R")).z[0, 0, 1]
    keep = np.r_[100:900, 1100:2000]
    np.testing.assert_allclose(found, independent_z(table, [1, 7], keep)[0, 1], atol=1e-9)
    sos = signal.butter(1, 0.01, "hp", fs=1.2, output="sos")
    cut_first = np.corrcoef(signal.sosfilt(sos, table.loc[[1, 7]].to_numpy()[:, keep]))[0, 1]
    assert abs(np.tanh(found) - cut_first) > 1e-3


def test_functional_connectivity_of_known_signals(tmp_path: Path) -> None:
    """Sines of one frequency with a phase φ between them correlate by cos φ, whatever the filter's gain and delay."""
    t = np.arange(3100) / 1.2
    phases = np.array([0.0, np.pi / 3, np.pi])
    # 300 periods of 10 frames in the frames that are kept: sums over them vanish exactly.
    values = 500 + 10 * np.sin(2 * np.pi * 0.12 * t + phases[:, None])
    values[2] += 5 * np.sin(2 * np.pi * 0.24 * t)
    recording = read(tmp_path, pd.DataFrame(values, index=[1, 5, 7]), trim=False)
    z = turner_functional_connectivity([recording], ("AL_R", "MB_CA_L", "WED_R")).mean_z
    assert np.tanh(z[0, 1]) == pytest.approx(np.cos(np.pi / 3), abs=3e-3)
    second = np.abs(signal.freqz_sos(signal.butter(1, 0.01, "hp", fs=1.2, output="sos"), [0.12, 0.24], fs=1.2)[1])
    share = 10 * second[0] / np.hypot(10 * second[0], 5 * second[1])
    assert np.tanh(z[0, 2]) == pytest.approx(-share, abs=3e-3)


def test_functional_connectivity_needs_raw_untrimmed_recordings(tmp_path: Path) -> None:
    whole = read(tmp_path, responses(), trim=False)
    regions = ("AL_R", "WED_R")
    with pytest.raises(DataError, match="no recording to correlate"):
        turner_functional_connectivity([])
    with pytest.raises(DataError, match=r"is trimmed.*trim=False"):
        turner_functional_connectivity([read(tmp_path, responses())], regions)
    with pytest.raises(DataError, match="holds dff, not raw fluorescence"):
        turner_functional_connectivity([preprocess(whole.split(), [{"step": "delta_f_over_f"}])], regions)
    with pytest.raises(DataError, match="no recording has the regions EB"):
        turner_functional_connectivity([whole], ("AL_R", "EB"))
    with pytest.raises(DataError, match="regions repeat: AL_R"):
        turner_functional_connectivity([whole], ("AL_R", "AL_R"))
    values = whole.values.copy()
    values[:, 0] = 0
    with pytest.raises(DataError, match="regions do not vary: AL_R"):
        turner_functional_connectivity([replace(whole, values=values)], regions)
    values[:, 0] = 2 * values[:, 3]
    with pytest.raises(DataError, match="identical signals: AL_R and WED_R"):
        turner_functional_connectivity([replace(whole, values=values)], regions)


def test_regions_of_the_paper() -> None:
    assert len(TURNER_REGIONS) == len(set(TURNER_REGIONS)) == 37
    assert sum(name.endswith("_R") for name in TURNER_REGIONS) == 26
