"""What recorded and fitted brains do: criticality, dynamics, parameters, gradients, recovery and perturbations.

Analyses of arrays [time, unit] know nothing of fits; `pipeline` applies those of `analyses` to the fitted brain of a
run.
"""
