"""Gradients of the learning rules against backpropagation through time, and what each rule learns."""
