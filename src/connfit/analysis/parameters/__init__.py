"""Fitted weights and time constants: distributions, correlations, agreement between fits."""
