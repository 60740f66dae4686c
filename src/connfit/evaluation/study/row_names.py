"""What the rows of a study are called in tables, figures and sentences: as the pieces that they stand for say."""

from __future__ import annotations

from connfit._registry import Entry
from connfit.connectome.nulls import NULLS
from connfit.evaluation.baselines import BASELINES
from connfit.models.cells import CELLS
from connfit.training.learners import RULES
from connfit.training.optimiser import LABELS

OWN_ROWS = {
    "connectome": "the connectome model",
    "untrained": "the untrained model",
    "learned_readout": "learned read-out",
    "fixed_strengths": "weights fixed to synapse counts",
    "gain_per_neuron": "counts with one gain per neuron",
    "gain_per_type_pair": "counts with one gain per pair of cell types",
}
"""Rows that are no registered piece, where their name does not say by itself what they are."""


def row_name(name: str) -> str:
    """Return a row by its name in `study.json`, in a sentence; of a piece that is not installed, the name in words."""
    piece = _piece(name)
    if piece is not None:
        return piece.phrase or piece.label
    return OWN_ROWS.get(name) or LABELS.get(name) or name.replace("_", " ")


def short_name(name: str) -> str:
    """Return a row by its name in `study.json`, as the label of its piece: short enough for a table or an axis."""
    piece = _piece(name)
    return piece.label if piece is not None else name.replace("strengths", "weights").replace("_", " ")


def _piece(name: str) -> Entry | None:
    """The registered piece that a row stands for; None where it is none."""
    for registry in (BASELINES, NULLS):
        if name in registry:
            return registry[name]
    return next((piece for registry in (RULES, CELLS) for piece in registry.values() if piece.row == name), None)
