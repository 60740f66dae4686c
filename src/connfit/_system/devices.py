"""What JAX and XLA read from the environment, and the device that they find, checked before anything is computed.

JAX reads its variables while it is imported, and answers nonsense with a bare ValueError; XLA reads `XLA_FLAGS` when it
looks for devices, and ends the process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from connfit._system import process_group
from connfit.errors import ConfigError, NotAvailableError

XLA_FLAGS = "XLA_FLAGS"

_TRIAL_SECONDS = 120
_FATAL = re.compile(r"^[EF]\d{4} [\d:.]+ +\d+ \S+\] ")
"""Before a line of XLA's log that says what is wrong."""

_PLATFORMS = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_FORCE_TPU_INIT")
"""Variables by which JAX chooses its device."""

_RIGHT = {
    "bool_state": "true or false", "bool_env": "true or false", "int_state": "a whole number",
    "int_env": "a whole number", "float_state": "a number",
}  # fmt: skip
"""What JAX's functions read variables as."""


@contextmanager
def jax_refusals() -> Iterator[None]:
    """Have JAX's refusal of an environment variable, while it is imported, name the variable.

    Raises
    ------
    ConfigError
        If a variable holds nonsense.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        found = refused_variable(error)
        if found is None:
            raise
        variable, right = found
        raise ConfigError(
            f"{variable}={os.environ[variable]!r} is refused by JAX, which reads it while it is imported"
            f"{f' ({error})' if not right else ''}: it must be {right or 'what JAX says'}, or not be set"
        ) from error


def refused_variable(error: BaseException) -> tuple[str, str] | None:
    """Return the environment variable that JAX refused, and what it reads it as; None where it refused something else.

    JAX's messages do not always have the name; the functions that it was raised in do.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if _of_jax(frame)]
    if not any(frame.f_code.co_name == "<module>" for frame in frames):
        return None  # JAX is not being imported
    for frame in reversed(frames):
        for key in ("varname", "name", "_name"):
            name = frame.f_locals.get(key) or getattr(frame.f_locals.get("self"), key, None)
            if isinstance(name, str) and name.upper() in os.environ:
                return name.upper(), _right(frame.f_code.co_name, frame.f_locals)
    return None


def _of_jax(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "jax"


def _right(function: str, values: dict[str, object]) -> str:
    """What a function of JAX's configuration reads a variable as; empty where only its message says that."""
    choices = values.get("enum_values")
    if isinstance(choices, list | tuple):
        return f"one of {', '.join(map(str, choices))}"
    kind = values.get("enum_class")
    if kind is not None:
        return f"one of {', '.join(str(one.value) for one in kind)}"  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
    return _RIGHT.get(function, "")


def variables_set() -> bool:
    """Return whether the environment says anything to JAX or XLA."""
    return any(name.startswith(("JAX_", "XLA_")) for name in os.environ)


def check_device() -> None:
    """Find the device that JAX computes on.

    Raises
    ------
    ConfigError
        If a variable that JAX or XLA reads holds nonsense.
    NotAvailableError
        If `JAX_PLATFORMS` names only devices that are not here; JAX itself fails with a bare assertion.
    """
    with jax_refusals():
        import jax
    _try_flags()
    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        asked = [f"{name}={os.environ[name]!r}" for name in _PLATFORMS if os.environ.get(name)]
        asked = asked or [f"JAX_PLATFORMS={jax.config.jax_platforms!r}"]  # pyright: ignore[reportAttributeAccessIssue]
        raise NotAvailableError(
            f"JAX finds no device of {' and '.join(asked)} here ({_one_line(str(error)) or 'it does not say why'}): "
            "unset it, or add ',cpu', or install JAX for that device"
        ) from error


def device_count(asked: int | str) -> int:
    """Return how many devices a fit takes: as many as are asked for, or all that are here.

    Parameters
    ----------
    asked
        `train.devices`: a number, or `"all"`.

    Raises
    ------
    ConfigError
        If there are fewer.
    """
    import jax

    here = jax.devices()
    if isinstance(asked, str):
        return len(here)
    if not process_group.alone() and asked != len(here):
        raise ConfigError(
            f"train.devices = {asked}: the processes of this fit have {len(here)} devices, and each takes part: set "
            "'all', or start fewer"
        )
    if asked > len(here):
        kind = here[0].platform
        cores = (
            f"; of the processor {XLA_FLAGS}=--xla_force_host_platform_device_count={asked} makes as many"
            if kind == "cpu"
            else ""
        )
        raise ConfigError(
            f"train.devices = {asked}: JAX finds {len(here)} device{'s' if len(here) > 1 else ''} here ({kind}): set "
            f"that many at most, or 'all'{cores}"
        )
    return asked


def own_devices(devices: int) -> int:
    """Return how many of the first devices belong to this process."""
    import jax

    return sum(device.process_index == jax.process_index() for device in jax.devices()[:devices])


def _try_flags() -> None:
    """Have another process read `XLA_FLAGS`, once for each value: XLA ends the one that reads nonsense."""
    flags = os.environ.get(XLA_FLAGS, "")
    if not flags.strip() or flags in _tried:
        return
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    try:
        # XLA alone, without JAX, which has variables of its own and takes four times as long to load.
        ended = subprocess.run(
            [sys.executable, "-c", "from jaxlib import xla_client; xla_client.make_cpu_client()"],
            stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=_TRIAL_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return  # Whatever it is, it is not known to be the flags.
    lines = ended.stderr.decode(errors="replace").splitlines()
    fatal = next((line for line in lines if _FATAL.match(line)), None)
    if ended.returncode and fatal is not None:
        raise ConfigError(
            f"{XLA_FLAGS}={flags!r} is refused by XLA ({_one_line(_FATAL.sub('', fatal))}): it must be flags of this "
            "release, as --name=value, or the name of a file with such flags, or not be set"
        )
    _tried.add(flags)


_tried: set[str] = set()


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
