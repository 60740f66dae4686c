"""Options of a function that a configuration or a caller gives by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from connfit.errors import ConfigError, did_you_mean

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def takes_options_of(other: Callable[..., Any]) -> Callable[[FunctionT], FunctionT]:
    """Show in the signature of a function that passes `**options` on the keyword-only parameters of the other."""

    def decorated(function: FunctionT) -> FunctionT:
        own = dict(list(inspect.signature(function).parameters.items())[:-1])
        others = inspect.signature(other).parameters
        passed = {key: option for key, option in others.items() if option.kind is option.KEYWORD_ONLY}
        function.__signature__ = inspect.Signature([*(own | passed | own).values()])  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return decorated


def option_names(function: Callable[..., Any], *, skip: int = 1) -> tuple[str, ...]:
    """Name the parameters of a function behind the first `skip`, which its caller gives itself."""
    return tuple(inspect.signature(function).parameters)[skip:]


def option_defaults(function: Callable[..., Any], *, skip: int = 1) -> dict[str, object]:
    """Return these parameters with their defaults; of one that must be given, None."""
    given = list(inspect.signature(function).parameters.values())[skip:]
    return {option.name: None if option.default is inspect.Parameter.empty else option.default for option in given}


def checked_options(
    function: Callable[..., Any], options: Mapping[str, Any], what: str, *, skip: int = 1, further: Sequence[str] = ()
) -> dict[str, object]:
    """Return the options if the function has them all and gets all that it needs; their values it checks itself.

    Parameters
    ----------
    what
        What the function is, for messages, as `"reader csv"`.
    skip
        Parameters that are no options: the first ones.
    further
        Options that its caller deals with itself.

    Raises
    ------
    ConfigError
        Names the option, and the nearest that there is.
    """
    own, parameters = option_names(function, skip=skip), inspect.signature(function).parameters
    names = (*own, *further)
    for option in options:
        if option not in names:
            hint = did_you_mean(option, names)
            raise ConfigError(f"{what} has no option {option!r}; its options are {', '.join(names)}{hint}")
    absent = [name for name in own if parameters[name].default is inspect.Parameter.empty and name not in options]
    if absent:
        raise ConfigError(f"{what} needs {', '.join(absent)}")
    return dict(options)
