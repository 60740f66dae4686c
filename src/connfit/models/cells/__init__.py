"""Cells: what one neuron does with its input in one step; one file a cell."""
