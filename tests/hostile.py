"""A small project in which every name is hostile: to terminals, pages, tables, templates, formats and paths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from small import CONFIG, FRAME_RATE, regional_connectome

NAMES: tuple[str, ...] = (
    "[/red]", "[bold]x[/]", "[link=https://example.org]y[/link]", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J",
    "a\rb", "a\nb", "a\tb", "bell\x07", "\u202eevil\u202c", "\u2066isolated", "zero\u200bwidth\ufeff",
    "e\u0301\u0323\u0489",
    "line\u2028break", "9" * 5000, "²", "①", "=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-2", "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>', "&amp;", "{{ 7*7 }}", "{% raw %}", "{# c #}", r"$\frac$", "$x_1^{2}$", "%s%d%n",
    "{0}", "{task.description}", "\\", "\\n", "'", '"', "a,b", "a;b", "`rm`", "inf", "-inf", "1e5", "0x10", "1_000",
    "../x", "/etc/passwd", "C:\\x", "CON", "x" * 600, "x" * 599 + "y", "Ava", "ava", "AVA", "a b", "a  b", "\U0001f9e0",
    "漢字", "a#b", "a:b", "a=b", "#", "*", "?", "~", "$HOME", "--help", "true", ".", "..", ".hidden", "id", "all",
)  # fmt: skip
"""Names that can be stored. Words for what is missing (`NA`, `-`) and names with blanks around them are others."""

UNSTORABLE = ("\ud800", "a\udcffb", "a\0b")
"""Names that no file in UTF-8, or no HDF5 file, can hold."""


def write_hostile_files(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    """A brain whose neurons, types and regions have these names, three recordings of all, and their configuration."""
    count = len(names)
    brain = regional_connectome(neurons=count)
    table = pd.DataFrame(
        {
            "id": names, "type": names[1:] + names[:1], "region": names[2:] + names[:2], "note": names,
            "transmitter": np.where(brain.signs > 0, "acetylcholine", "gaba"),
        }
    )  # fmt: skip
    table.to_parquet(folder / "neurons.parquet")
    ids = table["id"].to_numpy()
    edges = {"pre": ids[brain.indices], "post": ids[brain.posts], "synapses": brain.counts}
    pd.DataFrame(edges).to_parquet(folder / "edges.parquet")
    rng = np.random.default_rng(0)
    files = []
    for number, name in enumerate(RECORDINGS):
        values = np.cumsum(rng.normal(size=(80, count)), axis=0) * 0.3
        named = {"name": name} if number else {}
        path = folder / (f"r{number}.npz" if number else f"{name}.npz")
        np.savez(path, values=values, units=np.array(names), frame_rate=FRAME_RATE, value_units="[/b]$\\frac$", **named)
        files.append(path.name)
    text = CONFIG.replace(".csv", ".parquet").replace('["movie1.npz", "movie2.npz"]', json.dumps(files))
    text = text.replace("validation = 0.2\n", f"validation = 0.2\nheld_out = [{json.dumps(RECORDINGS[2])}]\n")
    text = text.replace('region = "region"', 'region = "region"\ntype = "type"')
    path = folder / "own [red].toml"
    path.write_text(text, encoding="utf-8")
    return path


RECORDINGS = ("[bold]$x_1$ {0} %s", "[/red]\n\x1b[31m\u202e", "../x")
"""The first is the name of its file as well."""
