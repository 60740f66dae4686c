"""What servers say in headers, where it can be right."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LENGTH = re.compile(r"[0-9]{1,15}")


def length(text: str) -> int | None:
    """Return the length that a header says; None where it is no whole number."""
    return int(text) if _LENGTH.fullmatch(text.strip()) else None


def pause(text: str) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or a date; None where it is neither."""
    if (seconds := length(text)) is not None:
        return float(seconds)
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
