"""Fit the worm of the first tutorial and keep figures of its report in docs/figures/gallery. A minute or two.

Usage: python docs/site/draw_gallery.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "figures" / "gallery"
NAMES = ("traces", "functional_connectivity", "horizon_skill", "share_of_possible", "weights", "time_constants")


def main() -> None:
    """Make files, fit, and copy."""
    connfit = [sys.executable, "-m", "connfit"]
    with tempfile.TemporaryDirectory() as folder:
        make = [sys.executable, str(ROOT / "examples" / "tutorials" / "make_files.py"), "worm"]
        check = [*connfit, "check", ".", "--sign-rule", "worm", "--option", "unit_column=cell_name"]
        for command in (make, [*check, "--write", "config.toml"], [*connfit, "fit", "config.toml", "--out", "run"]):
            subprocess.run(command, cwd=folder, check=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            shutil.copy(Path(folder, "run", "figures", f"{name}.png"), FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
