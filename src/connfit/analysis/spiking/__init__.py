"""Experiments on a spiking network without any fit: doses of stimulation, and screens of silenced neurons.

`spiking_experiment` says what to do, `side_by_side_trials` runs trials and conditions beside each other, `over_trials`
compares them, `run_spiking` writes what came of it, and `spiking_results` and `spiking_tables` are what is written.
"""

from connfit.analysis.spiking.run_spiking import MODELS, simulate_spiking
from connfit.analysis.spiking.spiking_data import connectome_to_simulate
from connfit.analysis.spiking.spiking_experiment import SpikingExperiment
from connfit.analysis.spiking.spiking_results import SpikingSimulation

__all__ = ["MODELS", "SpikingExperiment", "SpikingSimulation", "connectome_to_simulate", "simulate_spiking"]
