"""Arrays in pickles as inert records of what was stored, for readers that follow pickles by `pickle_machine`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from connfit._system.pickle_machine import Refused

_NUMERIC = re.compile(r"b1|[iu][1248]|f[248]")


class PickledType:
    """A NumPy type: its code and byte order."""

    def __init__(self, code: Any, *flags: Any) -> None:
        if not isinstance(code, str) or (code not in ("O8", "O4", "O") and not _NUMERIC.fullmatch(code)):
            raise Refused(f"values of the type {quoted(code)}")
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        _version, order, *rest = state
        if order not in ("<", ">", "|", "=") or any(part is not None for part in rest[:3]):
            raise Refused("values of a compound type")
        self.order = order

    @property
    def is_text(self) -> bool:
        return self.code.startswith("O")

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class Encoded:
    """Bytes as text of the characters 0 to 255; made into bytes where they are used, once."""

    def __init__(self, text: str) -> None:
        self.text = text


class PickledArray:
    """An array: its type, shape and content, as bytes or (text) as a list."""

    dtype: Any = None
    shape: Any = None
    content: Any = None
    order: Any = "C"

    def __setstate__(self, state: Any) -> None:
        _version, self.shape, self.dtype, fortran, self.content = state
        self.order = "F" if fortran else "C"

    def numpy(self) -> np.ndarray:
        if not isinstance(self.dtype, PickledType) or not _is_shape(self.shape) or self.order not in ("C", "F"):
            raise Refused("an array without type or shape")
        if self.dtype.is_text:
            return self._labels()
        content = self.content.text.encode("latin1") if isinstance(self.content, Encoded) else self.content
        if not isinstance(content, bytes | bytearray):
            raise Refused("an array without content")
        # A copy, for what came from the pickle is read-only.
        return np.frombuffer(content, self.dtype.numpy()).reshape(self.shape, order=self.order).copy(order="K")

    def _labels(self) -> np.ndarray:
        """A list of labels: text and numbers, nothing else, for an array of objects could hold anything."""
        listed = self.content
        if not isinstance(listed, list) or self.shape != (len(listed),):
            raise Refused("an array of objects that is not a list of labels")
        for label in listed:
            if label is not None and type(label) not in (str, int, float):
                raise Refused(
                    f"an array of objects that holds {type(label).__name__.lstrip('_')}, neither text nor number"
                )
        result = np.empty(len(listed), object)
        result[:] = listed
        return result


class Call:
    """A function that a pickle may call; it cannot be changed by one."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


def _reconstruct(kind: Any, shape: Any, code: Any) -> PickledArray:
    if kind is not PickledArray:
        raise Refused("an array of an unknown kind")
    return PickledArray()


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any, *_axes: Any) -> PickledArray:
    array = PickledArray()
    array.content, array.dtype, array.shape, array.order = content, dtype, shape, order
    return array


def quoted(value: Any) -> str:
    """Text as it is; of anything else its kind, for what is nested may be endless."""
    return repr(value) if isinstance(value, str) else f"of the kind {type(value).__name__.lstrip('_')}"


def _encode(text: Any, encoding: Any) -> Encoded:
    """How protocol 2 writes bytes: as text of the characters 0 to 255."""
    if encoding != "latin1" or not isinstance(text, str):
        raise Refused(f"text in the encoding {quoted(encoding)}")
    return Encoded(text)


def _empty(*arguments: Any) -> bytes:
    """How protocol 2 writes no bytes at all."""
    if arguments:
        raise Refused("bytes that are made from something else")
    return b""


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)


def array_names() -> dict[tuple[str, str], Any]:
    """What each name that NumPy 1 and 2 write of an array, and of bytes in protocols 2 to 5, stands for."""
    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): PickledArray,
        ("numpy", "dtype"): PickledType,
        ("_codecs", "encode"): Call(_encode),
        ("builtins", "bytes"): Call(_empty),
        ("__builtin__", "bytes"): Call(_empty),
    }
    for package in ("numpy.core", "numpy._core"):
        table[f"{package}.multiarray", "_reconstruct"] = Call(_reconstruct)
        table[f"{package}.numeric", "_frombuffer"] = Call(_frombuffer)
    return table
