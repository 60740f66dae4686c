"""Dynamical models on a connectome: cells, read-out, drive, and the rollout through which every run goes.

`cells` has one file a cell, `init` the starts, `ops` the sparse operators.
"""

from connfit.models.cells.rate import RateModel
from connfit.models.gains import tie_weights
from connfit.models.init.initial import init_params
from connfit.models.init.persistence_drive import persistence_drive
from connfit.models.init.regression_start import regression_start
from connfit.models.init.starting_weights import spectral_radius_of, start_magnitudes
from connfit.models.neuron import Neuron, relu
from connfit.models.parameter import Parameter, TimeConstant
from connfit.models.readout import Readout

__all__ = [
    "Neuron",
    "Parameter",
    "RateModel",
    "Readout",
    "TimeConstant",
    "init_params",
    "persistence_drive",
    "regression_start",
    "relu",
    "spectral_radius_of",
    "start_magnitudes",
    "tie_weights",
]
