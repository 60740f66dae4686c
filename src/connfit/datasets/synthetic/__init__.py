"""Surrogate brains with known parameters: the demo, the fly surrogate, and teachers for recovery."""

# Each registers a dataset.
from connfit.datasets.synthetic import demo
from connfit.datasets.synthetic.fly import fly_light, fly_surrogate

__all__ = ["demo", "fly_light", "fly_surrogate"]
