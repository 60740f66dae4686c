"""Dynamical models on a connectome."""

from connfit.models.gains import share_strengths
from connfit.models.initial import initial_parameters, spectral_radius_of, start_magnitudes
from connfit.models.persistence import persistence_drive
from connfit.models.rate import RateModel
from connfit.models.readout import Readout
from connfit.models.regression import regression_start

__all__ = [
    "RateModel",
    "Readout",
    "initial_parameters",
    "persistence_drive",
    "regression_start",
    "share_strengths",
    "spectral_radius_of",
    "start_magnitudes",
]
