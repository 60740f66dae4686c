"""Spiking networks that are simulated without a fit: neurons of the whole-fly model of Shiu et al. 2024.

`lif` has the neuron and its exact step, `network` wires it by a connectome, `poisson` draws what drives it, and
`simulate` runs it: forward only, several runs beside each other, in memory that does not grow with time.
"""

from connfit.models.spiking.lif import SHIU, LeakyNeuron, SteppedNeuron
from connfit.models.spiking.network import SpikingNetwork
from connfit.models.spiking.poisson import GivenTrains, PoissonTrains, Trains
from connfit.models.spiking.simulate import Chunk, spikes_of

__all__ = [
    "SHIU",
    "Chunk",
    "GivenTrains",
    "LeakyNeuron",
    "PoissonTrains",
    "SpikingNetwork",
    "SteppedNeuron",
    "Trains",
    "spikes_of",
]
