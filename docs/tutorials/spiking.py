# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A brain that spikes
#
# A brain of 200 integrate-and-fire neurons smells two odours; what is recorded is the mean rate of each of its eight cell types, ten times a
# second. This page fits a spiking model to these rates, in steps of 1 ms. The files are **SURROGATE** (`examples/tutorials/make_files.py
# spiking`): neurons with weights of their own, a current and noise, written in NumPy.

# %% tags=["hide"]
# %run docs/site/tutorial_folder.py spiking

# %%
import connfit as cf

brain = cf.connectome_from_tables("flylet", "edges.csv", "neurons.csv", sign_rule="shiu")
recording = cf.read_recording("animal.csv", inputs=("apple", "vinegar"), kind="rate")
recording

# %% [markdown]
# ## The model
#
# `substeps = 100` makes 100 steps of each frame, `readout = "types"` reads the mean of each cell type, and each odour reaches the type that
# smells it. Rates stay in hertz: `preprocess = ()` leaves out the scaling that other recordings need. Nothing recorded drives the model but the
# odours.

# %%
spikes = {
    "cell": "lif",
    "substeps": 100,
    "drive": "none",
    "readout": "types",
    "preprocess": (),
    "preset": "d-rtrl",
    "window": 100,
}
smell = {
    "channels": ("apple", "vinegar"), "exogenous": True,
    "targets": {"apple": "type=type0", "vinegar": "type=type4"},
}  # fmt: skip
fit = cf.fit(brain, recording, epochs=15, time_constant_frames=0.5, progress=False, left_out_units=0, **spikes, **smell)
fit

# %% [markdown]
# Before training, weights are those of the wiring, and each neuron has the current at which it spikes as often as its type was recorded to (the
# start `balance`). So the untrained model predicts about the mean. Errors then travel back through spikes by a surrogate of their derivative.

# %%
evaluation = cf.evaluate(fit)
evaluation.table().round(3)

# %% [markdown]
# The table says what the spikes are good for. Without the odours no baseline gets far. ARX and VARX get the same odours as the model: eight mean
# rates that follow two odours are nearly linear, so they are hard to beat here, and where they win, they win. What they cannot say is which
# neuron spiked:

# %%
neurons = fit.neurons_table()
neurons[["type", "bias_start", "bias_fitted"]].groupby("type").mean().round(3)

# %% [markdown]
# ## Does it need the wiring?
#
# The same fit on a rewired brain, in which every neuron keeps its numbers of partners:

# %%
rewired = cf.fit(
    cf.make_null(brain, "rewire_degrees", seed=1), recording, epochs=15, time_constant_frames=0.5, progress=False,
    left_out_units=0, **spikes, **smell,
)  # fmt: skip
cf.compare(fit, rewired, names=("wiring", "rewired"), horizons=[1, 5])

# %% [markdown]
# ## Go on
#
# [Cells](../cells.md#spikes) has the equations and options of `lif`. [A whole fly that spikes](../spiking.md) simulates Shiu et al.'s model
# without a fit. More epochs bring the model closer to VARX here; longer windows cost little, for all of a connection is touched once a window.
