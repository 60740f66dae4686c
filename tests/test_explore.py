"""`explore.html`: what it holds, and that a browser shows it without a network."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browser_page, find_browser
from report_run import NASTY, run_directory
from small import regional_connectome

from connfit.errors import DataError
from connfit.evaluation.forecasts import Forecasts
from connfit.report import explore

pytest.importorskip("bokeh")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explore.write_explorer(run_directory(tmp_path_factory.mktemp("explored") / "run"))


def columns(page: Path) -> list[dict[str, np.ndarray]]:
    """Every table of numbers in the page."""
    text = re.search(r'<script type="application/json"[^>]*>\s*(.*?)\s*</script>', page.read_text("utf-8"), re.DOTALL)
    assert text is not None
    found: list[dict[str, np.ndarray]] = []

    def plain(value: Any) -> np.ndarray | None:
        if isinstance(value, dict) and value.get("type") == "ndarray":
            raw = base64.b64decode(value["array"]["data"])
            raw = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
            return np.frombuffer(raw, value["dtype"]).reshape(value["shape"])
        return None

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("name") == "ColumnDataSource":
                entries = value["attributes"]["data"]["entries"]
                found.append({key: array for key, entry in entries if (array := plain(entry)) is not None})
            for inside in value.values():
                walk(inside)
        elif isinstance(value, list):
            for inside in value:
                walk(inside)

    walk(json.loads(text[1].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")))
    return found


def test_the_lines_are_those_of_the_forecasts(made: Path) -> None:
    (recording,) = Forecasts.load(made.parent / "forecasts.npz").recordings.values()
    part = list(recording.parts.values())[-1]
    every = max((table for table in columns(made) if "one_step" in table), key=lambda table: table["one_step"].size)
    units, frames = len(recording.units), part.values.shape[0]
    for key, expected in (("data", part.values), ("one_step", part.one_step)):
        # float32 holds seven digits.
        np.testing.assert_allclose(every[key].reshape(units, frames), np.asarray(expected).T, rtol=1e-6)


def test_connectivity_is_that_of_the_data_and_of_the_free_runs_side_by_side(made: Path) -> None:
    (recording,) = Forecasts.load(made.parent / "forecasts.npz").recordings.values()
    part = list(recording.parts.values())[-1]
    data, free = [table["value"] for table in columns(made) if "value" in table][:2]
    for found, expected in ((data, np.corrcoef(np.asarray(part.values).T)), (free, part.free_run_connectivity)):
        # In an order that puts like units together.
        np.testing.assert_allclose(np.sort(found), np.sort(np.ravel(expected)), rtol=1e-5, atol=1e-6)
    assert not np.allclose(np.sort(data), np.sort(free))


def test_what_is_left_out_of_a_page_is_said(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Not in this page" not in made.read_text("utf-8")
    monkeypatch.setattr(explore, "MOST_VALUES", 150)
    short = explore.write_explorer(made.parent).read_text("utf-8")
    assert re.search(r"Not in this page: a: the first 10 of \d+ frames of its test part", short)
    monkeypatch.undo()
    explore.write_explorer(made.parent)


def test_a_run_without_forecasts_says_what_makes_them(tmp_path: Path) -> None:
    folder = run_directory(tmp_path / "run")
    (folder / "forecasts.npz").unlink()
    with pytest.raises(DataError, match=r"no forecasts.npz.*connfit evaluate"):
        explore.write_explorer(folder)


@pytest.mark.skipif(find_browser() is None, reason="needs a Chromium or Chrome: install one, or set CONNFIT_BROWSER")
def test_a_browser_shows_it_without_a_network(made: Path, tmp_path: Path) -> None:
    executable = find_browser()
    assert executable is not None
    with browser_page(tmp_path / "profile", executable) as page:
        for width in (390, 1280):
            page.show(width, dark=False)
            page.open(made.as_uri())
            wrong = {"Runtime.exceptionThrown", "Network.loadingFailed"}
            assert [event for event in page.events if event.get("method") in wrong] == []
            asked = [
                event["params"]["request"]["url"]
                for event in page.events
                if event.get("method") == "Network.requestWillBeSent"
            ]
            assert [address for address in asked if not address.startswith("data:")] == [made.as_uri()]
            assert page.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        # Choosing another unit draws its line.
        chosen = page.value("""
            (() => {
                const models = Array.from(Bokeh.documents[0].all_models)
                const list = models.find(model => model.type === "Select")
                const now = models.find(model => model.type === "ColumnDataSource" && "seconds" in model.data)
                const first = Array.from(now.data.data)
                list.value = "1"
                return new Promise(done => setTimeout(() => done(
                    JSON.stringify([list.options[0][1], first.length, Array.from(now.data.data)])), 500))
            })()
        """)
        name, frames, line = json.loads(chosen)
        (recording,) = Forecasts.load(made.parent / "forecasts.npz").recordings.values()
        part = list(recording.parts.values())[-1]
        assert name == NASTY and frames == part.values.shape[0]
        np.testing.assert_allclose(line, np.asarray(part.values)[:, 1], rtol=1e-6)


def test_weights_between_groups_are_sums_over_their_connections() -> None:
    brain = regional_connectome()
    weights = np.random.default_rng(0).random(brain.m)
    plot = explore._wiring(brain, weights)
    drawn = plot.renderers[0].data_source.data
    signed = brain.matrix(weights).toarray()
    region = brain.neurons["region"].to_numpy()
    for down, across, value in zip(drawn["down"], drawn["across"], drawn["value"], strict=True):
        # Drawn in float32.
        assert value == pytest.approx(signed[np.ix_(region == down, region == across)].sum(), rel=1e-5, abs=1e-6)
    assert len(set(drawn["down"])) == len(set(region) - {""})
