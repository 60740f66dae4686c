"""The program of a pickle, followed instruction by instruction without Python's own unpickler.

`pickletools` of the standard library takes the file apart, and only to the length that it has. What is done here is
putting together: no name is imported, nothing is called but what the reader permits, the keys of tables are text (so
that nothing nested is hashed), and the number of instructions is bounded. So a pickle takes a small multiple of its own
size in memory, and seconds at most.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Mapping
from typing import Any

MOST_INSTRUCTIONS = 1 << 18
"""Far more than a table of numbers has, whose values are one instruction for a block."""

_LITERALS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Refused(Exception):
    """The pickle holds something that no table of numbers needs."""


def run_pickle(content: bytes, names: Mapping[tuple[str, str], Any]) -> Any:
    """Put together what a pickle describes.

    Parameters
    ----------
    content
        The pickle, protocols 2 to 5.
    names
        What stands for each (module, name) that is permitted; callables among them may be called, classes with
        `__setstate__` get the state of their instances.

    Raises
    ------
    Refused
        If it names, does or holds anything else.
    ValueError, LookupError, TypeError
        If it is damaged.
    """
    machine = _Machine(names)
    with warnings.catch_warnings():
        # Text with an escape that there is not is damaged; Python only warns of it.
        warnings.filterwarnings("error", message="invalid escape sequence")
        try:
            for count, (instruction, argument, _) in enumerate(pickletools.genops(content)):
                if count >= MOST_INSTRUCTIONS:
                    raise Refused(f"more than {MOST_INSTRUCTIONS:,} instructions")
                machine.do(instruction.name, argument)
        except Warning as warning:
            raise ValueError(str(warning)) from warning
    return machine.stack.pop()


class _Machine:
    """The stack, its marks, and what was remembered."""

    def __init__(self, names: Mapping[tuple[str, str], Any]) -> None:
        self.names, self.permitted = names, set(map(id, names.values()))
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Do one instruction."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(tuple(self._taken(len(stack) - _TUPLES[name])))
        else:
            match name:
                case "PROTO" | "FRAME" | "STOP":
                    pass
                case "MARK":
                    self.marks.append(len(stack))
                case "TUPLE":
                    stack.append(tuple(self._since_mark()))
                case "LIST":
                    stack.append(self._since_mark())
                case "EMPTY_LIST":
                    stack.append([])
                case "EMPTY_DICT":
                    stack.append({})
                case "APPEND":
                    self._extend(self._taken(len(stack) - 1))
                case "APPENDS":
                    self._extend(self._since_mark())
                case "SETITEM":
                    self._set(self._taken(len(stack) - 2))
                case "SETITEMS":
                    self._set(self._since_mark())
                case "MEMOIZE":
                    self.memo[len(self.memo)] = stack[-1]
                case "PUT" | "BINPUT" | "LONG_BINPUT":
                    self.memo[argument] = stack[-1]
                case "GET" | "BINGET" | "LONG_BINGET":
                    stack.append(self.memo[argument])
                case "GLOBAL" | "INST":
                    stack.append(self._named(*argument.split(" ", 1)))
                case "STACK_GLOBAL":
                    stack.append(self._named(*self._taken(len(stack) - 2)))
                case "REDUCE" | "NEWOBJ":
                    stack.append(self._made(*self._taken(len(stack) - 2), called=name == "REDUCE"))
                case "BUILD":
                    (state,) = self._taken(len(stack) - 1)
                    self._build(state)
                case "PERSID" | "BINPERSID":
                    raise Refused("a reference to something outside the file")
                case _:
                    raise Refused(f"the instruction {name}")

    def _taken(self, first: int) -> list[Any]:
        if first < 0:
            raise LookupError("an instruction lacks its operands")
        taken = self.stack[first:]
        del self.stack[first:]
        return taken

    def _since_mark(self) -> list[Any]:
        return self._taken(self.marks.pop())

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Refused("items of what is not a list")
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict or not all(type(key) is str for key in items[::2]):
            raise Refused("a key that is not text")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _named(self, module: Any, name: Any) -> Any:
        if type(module) is not str or type(name) is not str:
            raise Refused("a name that is not text")
        if (module, name) not in self.names:
            raise Refused(f"{module}.{name}")
        return self.names[module, name]

    def _made(self, maker: Any, arguments: Any, *, called: bool) -> Any:
        if id(maker) not in self.permitted or not callable(maker) or type(arguments) is not tuple:
            raise Refused("a call of what is not a function")
        if called:
            return maker(*arguments)
        if arguments or not isinstance(maker, type):
            raise Refused("an object with arguments of its own")
        return maker.__new__(maker)  # pyright: ignore[reportCallIssue]

    def _build(self, state: Any) -> None:
        change = getattr(type(self.stack[-1]), "__setstate__", None)
        if change is None:
            raise Refused("a change of what has no state")
        change(self.stack[-1], state)
