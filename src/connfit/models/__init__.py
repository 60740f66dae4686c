"""Dynamical models on a connectome."""

from connfit.models.initial import initial_parameters, persistence_drive, spectral_radius_of
from connfit.models.rate import RateModel
from connfit.models.readout import Readout

__all__ = ["RateModel", "Readout", "initial_parameters", "persistence_drive", "spectral_radius_of"]
