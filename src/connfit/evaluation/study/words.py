"""Words that the texts of a study share: horizons, lists, and how the connectome model stands to rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

STANDINGS: Mapping[str, str] = MappingProxyType(
    {
        "better": "beats {}",
        "ahead": "is ahead of {} in pooled skill but not in the median unit",
        "tie": "is not distinguishable from {}",
        "behind": "is behind {} in pooled skill but not in the median unit",
        "worse": "loses to {}",
    }
)
"""By `Difference.standing`, in the order in which texts name them."""


def frames(horizon: int) -> str:
    """Return a horizon as a number of frames."""
    return "1 frame" if horizon == 1 else f"{horizon} frames"


def frames_ahead(horizon: int) -> str:
    """Return a horizon as it begins a sentence."""
    return f"{'One frame' if horizon == 1 else frames(horizon)} ahead"


def listed(items: Sequence[object], comma: str = ", ", last: str = " and ") -> str:
    """Return all items as one text, the last after an "and"."""
    texts = [str(item) for item in items]
    return comma.join(texts[:-1]) + (last if len(texts) > 1 else "") + texts[-1] if texts else ""
