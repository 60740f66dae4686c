"""What a cell of a table says: nothing, a whole number, or a number that a spreadsheet has changed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from unicodedata import category, normalize

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from connfit._display import unstorable

MISSING_WORDS = ("", "-", "na", "n/a", "#n/a", "nan", "null", "none")
"""What a cell without a value says, in small letters."""

FORMULA_ERRORS = frozenset(("#ref!", "#value!", "#div/0!", "#name?", "#num!", "#null!", "#spill!", "#calc!", "#error!"))
"""What a spreadsheet writes where a formula failed, in small letters."""

INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?[0-9]+[eE][+-]?[0-9]+")
SPREADSHEET_ID = re.compile(r"[0-9](\.[0-9]+)?E\+[0-9]{2,}|[0-9]{1,3}([,' ][0-9]{3})+")
"""A long number as spreadsheets show it: 1.23E+17, or 1,234,567."""

_MOST_DIGITS = 20
_INT64 = np.iinfo(np.int64)
_SPREADSHEET_DIGITS = 15
_CHANCE_BITS = 16


def is_missing(word: str) -> bool:
    """Return whether a cell says that there is no value."""
    return word.strip().lower() in MISSING_WORDS


def fault(word: str) -> str:
    """Return why a name or a word cannot be used; empty where it can."""
    return "says that a formula of a spreadsheet failed" if word.lower() in FORMULA_ERRORS else unstorable(word)


def whole_number(word: str) -> int | None:
    """Return a whole number of 64 bits that is written in plain digits; None for any other text."""
    if not INTEGER.fullmatch(word) or len(word) > _MOST_DIGITS:
        return None
    number = int(word)
    return number if _INT64.min <= number <= _INT64.max else None


def numbers_of(words: Collection[str]) -> Float[np.ndarray, "R"]:
    """Read words as the float64 nearest to each, and those that are not a number, such as 1_000, as NaN.

    Not by `pandas.to_numeric`: before pandas 3 it is off by up to 1e-12 of a number, since then it reads 45e 3, too.
    """
    with suppress(ValueError):
        return pa.array(words, pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.fromiter(map(_number, words), np.float64)


def _number(word: str) -> float:
    # Python also takes 1_000, and digits of other scripts.
    if word.isascii() and "_" not in word:
        with suppress(ValueError):
            return float(word)
    return np.nan


def names_taken_for_missing(words: Sequence[str]) -> list[str]:
    """List words for a missing value that could be names as well, such as NA, in their order."""
    return [*dict.fromkeys(word for word in words if word.strip().isalpha() and is_missing(word))]


def alike(words: Iterable[str]) -> list[tuple[str, str]]:
    """List pairs of words that look the same: they differ in characters without width, or in how accents are stored."""
    seen: dict[str, str] = {}
    found = []
    for word in words:
        shown = "".join(letter for letter in normalize("NFC", word) if category(letter) != "Cf")
        if seen.setdefault(shown, word) != word:
            found.append((seen[shown], word))
    return found


def lost_digits(ids: Int[np.ndarray, "N"]) -> bool:
    """Return whether ids above 2^53 all are what a floating point number, or a spreadsheet, makes of them.

    By chance each is so with a probability of 2^-k or 10^-k for its k last digits; together they must be below 2^-16.
    """
    large = ids[np.abs(ids) > 2**53]
    if not len(large):
        return False
    size = np.abs(large.astype(np.float64))
    # Numbers near 2^63 become ones that int64 lacks.
    rounded = (np.abs(large) < 2**62) & (large.astype(np.float64).clip(-(2.0**62), 2.0**62).astype(np.int64) == large)
    spacing = np.log2(np.spacing(size))
    tens = np.floor(np.log10(size)).astype(np.int64) + 1 - _SPREADSHEET_DIGITS
    cut = large % 10 ** np.maximum(tens, 0) == 0
    return bool(
        (rounded.all() and spacing.sum() >= _CHANCE_BITS) or (cut.all() and (tens * np.log2(10)).sum() >= _CHANCE_BITS)
    )
