"""Dynamical models on a connectome."""

from connfit.models.gains import share_strengths
from connfit.models.initial import initial_parameters, persistence_drive, spectral_radius_of, start_magnitudes
from connfit.models.rate import RateModel
from connfit.models.readout import Readout

__all__ = [
    "RateModel",
    "Readout",
    "initial_parameters",
    "persistence_drive",
    "share_strengths",
    "spectral_radius_of",
    "start_magnitudes",
]
