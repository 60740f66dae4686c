"""How parameters start, before any is trained: weights, persistence, and starts by regression.

A start is a function of a model, a connectome and training frames; nothing here sees validation or test frames.
"""
