"""Matplotlib where `MPLBACKEND` names a backend that is not installed: then it cannot be imported at all."""

from __future__ import annotations

import os
import sys

VARIABLE = "MPLBACKEND"


def usable_backend() -> None:
    """Import matplotlib, ignoring a backend of the environment that does not exist.

    connfit draws into files and needs none; libraries that it uses for numbers import matplotlib as well.
    """
    asked = os.environ.pop(VARIABLE, None)
    if asked is None or "matplotlib" in sys.modules:
        os.environ |= {} if asked is None else {VARIABLE: asked}
        return
    import matplotlib

    try:
        matplotlib.rcParams["backend"] = asked
    except ValueError:
        return
    os.environ[VARIABLE] = asked
