"""Test an installed connfit from a folder of its own: imports, kernels, a small fit, its evaluation and its report.

Usage: python installed.py --kernels {native,portable}. No pytest, and no file of the source tree but this one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

QUICK = ["train.epochs=1", "train.free_run_epochs=0", "train.learning_rate=0.01", "model.drive_start=persistence",
         "model.state_forcing=0", "model.time_constant_frames=0.5", "model.weights=counts", "model.own_shrinkage=0",
         "model.drive_ridge=0", "evaluate.left_out_units=0", "evaluate.free_run_runs=2",
         'evaluate.baselines=["mean","persistence","ar"]']  # fmt: skip


def main() -> None:
    """Fail unless the installed package works."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernels", choices=["native", "portable"], required=True)
    kernels = parser.parse_args().kernels
    import connfit
    from connfit.models.ops import native

    place = Path(connfit.__file__).resolve()
    assert "site-packages" in place.parts, f"connfit is imported from {place}, not as it was installed"
    assert native.available() is (kernels == "native"), f"native kernels are available: {native.available()}"
    with tempfile.TemporaryDirectory() as folder:
        sets = [word for setting in QUICK for word in ("--set", setting)]
        command = [sys.executable, "-m", "connfit", "demo", "--out", "run", *sets]
        subprocess.run(command, cwd=folder, check=True, env={**os.environ, "PYTHONUTF8": "1"}, timeout=900)
        report = Path(folder, "run", "report.html")
        assert report.stat().st_size > 100_000, "the report is nearly empty"
    print(f"connfit {connfit.__version__} works, with {kernels} kernels")


if __name__ == "__main__":
    main()
