"""Rows of a study as people call them."""

from __future__ import annotations

NAMES = {
    "connectome": "the connectome model",
    "untrained": "the untrained model",
    "mean": "the mean",
    "var_ridge": "ridge VAR",
    "var_around_ar": "VAR around each unit's own autoregression",
    "reduced_rank": "reduced-rank regression",
    "ar": "autoregression of each unit",
    "lds": "linear dynamical system",
    "gru": "GRU",
    "region_rnn": "network of the recorded units alone",
    "learned_readout": "learned read-out",
    "erdos_renyi": "Erdős–Rényi graph",
    "fixed_strengths": "strengths fixed to synapse counts",
    "gain_per_neuron": "counts with one gain per neuron",
    "gain_per_type_pair": "counts with one gain per pair of cell types",
    "hybrid": "the hybrid rule",
    "d_rtrl": "D-RTRL",
    "tbptt": "truncated BPTT",
    "pp_prop": "pp-prop",
    "immediate": "the rule without credit through time",
    "rmsprop": "RMSprop",
}


def row_name(name: str) -> str:
    """A row by its name in `study.json`."""
    return NAMES.get(name, name.replace("_", " "))
