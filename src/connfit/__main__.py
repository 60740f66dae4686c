"""`connfit`, and `python -m connfit`: the command line."""

import os
import sys

from connfit._system.pages import restart_with_huge_pages
from connfit._system.signals import raise_when_stopped
from connfit._system.ulimits import limit_problem


def main() -> None:
    """Run the command line; import what takes time only once the process is as it should be."""
    _open_streams()
    try:
        restart_with_huge_pages()
        raise_when_stopped()
        problem = limit_problem()
        if problem is not None:
            _end(problem, 2)
        from connfit.cli import main as command_line
    except KeyboardInterrupt as stopped:
        _end("interrupted", 128 + getattr(stopped, "number", 2))
    except (OSError, MemoryError, ImportError) as error:
        _end(f"it cannot start ({error or 'out of memory'}); nothing was changed", 2)
    else:
        command_line()


def _open_streams() -> None:
    """Have standard streams that were closed lead nowhere: files that are opened next would take their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _end(problem: str, code: int) -> None:
    """Exit with one line; what prints lines otherwise may not be there."""
    try:
        os.write(2, f"connfit: {problem}\n".encode(errors="backslashreplace"))
    except OSError:
        pass
    sys.exit(code)


if __name__ == "__main__":
    main()
