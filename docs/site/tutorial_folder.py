"""First, hidden cell of a tutorial: an empty folder with its files, and commands that stop the build where they fail.

Usage in a notebook that runs in the root of the repository:
%run docs/site/tutorial_folder.py {worm,regions,larva,stimulus,spiking,own_data}
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from IPython import get_ipython

ROOT = Path(__file__).parents[2]


def run_command(command: str) -> None:
    """Run a shell command and show what it prints; one that fails ends the notebook, but `check` may find problems."""
    ran = subprocess.run(command, shell=True, capture_output=True, text=True)
    print(ran.stdout, end="")
    if ran.returncode and not command.startswith("connfit check"):
        raise RuntimeError(f"{command}: exit status {ran.returncode}\n{ran.stderr}")


def main(which: str) -> None:
    """Go into a folder of its own with the files of a tutorial."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ |= {"COLUMNS": "110", "NO_COLOR": "1"}
    for name in (
        "FORCE_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
    ):  # the kernel's: its outputs would hold control characters
        os.environ.pop(name, None)
    folder = Path(tempfile.mkdtemp(prefix="connfit-tutorial-"))
    os.chdir(folder)
    if which == "own_data":
        runpy.run_path(str(ROOT / "examples" / "own_data" / "make_data.py"))["main"](folder)
    else:
        runpy.run_path(str(ROOT / "examples" / "tutorials" / "make_files.py"))["main"](which, folder)
    get_ipython().system = run_command


if __name__ == "__main__":
    main(sys.argv[1])
