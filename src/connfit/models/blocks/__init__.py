"""A model in blocks of neurons, one on each device.

Neurons lie in contiguous blocks with about equal numbers of connections. Their connections, rows of the drive, states,
traces and moments live with their block. In each step devices exchange what neurons send and what units read; the
gradient needs nothing else, for a connection belongs to the neuron that it ends on.
"""

from __future__ import annotations

from connfit.models.blocks.block_model import BlockFacts, Blocks, cut_model
from connfit.models.blocks.block_runs import BlockRuns
from connfit.models.blocks.device_mesh import AXIS, device_mesh, gathered, of_devices, one_block, spread

__all__ = [
    "AXIS", "BlockFacts", "BlockRuns", "Blocks", "cut_model", "device_mesh", "gathered", "of_devices", "one_block",
    "spread",
]  # fmt: skip
