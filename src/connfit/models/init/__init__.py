"""How parameters start, before any is trained: weights, persistence, and starts by regression.

A start is a function of a model, a connectome and training frames; nothing here sees validation or test frames.

To add a start, put a module with a function of a model and `start.StartConditions` into this folder and register a
`Start` there; weights alike, with `starting_weights.StartingWeights`. Other packages name theirs under the entry points
`connfit.starts` and `connfit.weights`.
"""
