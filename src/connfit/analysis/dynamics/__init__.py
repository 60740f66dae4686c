"""Stability and chaos: eigenvalues, linearised dynamics, Lyapunov exponents, simulated activity."""
