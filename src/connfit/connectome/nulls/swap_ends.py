"""Chemical connections with swapped ends, and how far the swaps have gone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int

from connfit.connectome import Connectome
from connfit.connectome.nulls.redraw import Chemical
from connfit.connectome.nulls.swaps import rewired, still_there

NO_SWAP = "no swap of connections is possible"


def swap_ends(
    connectome: Connectome,
    chemical: Chemical,
    free: Bool[np.ndarray, "M"],
    group: Int[np.ndarray, "F"] | None,
    seed: int,
    swaps: float,
    tries: float,
) -> tuple[Chemical, Mapping[str, int | float]]:
    """Swap ends of the free connections and keep the others as they are; also return what was measured."""
    n = connectome.n
    pre, before = chemical.pre[free], chemical.post[free]
    found = rewired(pre, before, n, np.random.default_rng(seed), group=group, swaps=swaps, tries=tries)
    post = np.array(chemical.post)
    post[free] = found.post
    kept, half_way = (still_there(pre, before, pre, after, n) for after in (found.post, found.half_way))
    measured = {
        "seed": seed,
        "swaps_per_connection": found.swaps,
        "rounds": found.rounds,
        "self_connections_kept": int((~free).sum()),
        "kept_connections": kept,
        "kept_share": kept / max(1, len(pre)),
        "kept_share_half_way": half_way / max(1, len(pre)),
    }
    return Chemical(chemical.pre, post, chemical.counts), measured
