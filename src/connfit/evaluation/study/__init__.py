"""Can a fit be believed: the same budget for the model, its ablations, null connectomes and baselines, over seeds."""
