"""Surrogate brains with known parameters: the demo, the fly surrogate, and teachers for recovery."""
