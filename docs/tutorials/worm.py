# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A worm, from NWB to a report
#
# You have an NWB file with calcium traces, and two tables with a connectome. A few commands later you have a report. The files of this page
# are **SURROGATE**: `examples/tutorials/make_files.py worm` generates them. Put yours in their place. For the real *C. elegans*
# connectome, name the dataset `worm` in the place of the tables: `connfit check worm animal.nwb`.

# %% tags=["hide"]
# %run docs/site/tutorial_folder.py worm

# %% [markdown]
# ## What is in the folder
#
# NWB needs one library more than the rest: `pip install 'connfit[nwb]'`.

# %%
# !ls

# %% [markdown]
# ## Check
#
# `connfit check` reads everything as a fit would, and says what it understood. Read the line that begins with `problem`: the traces of
# this file are called `roi-0`, `roi-1`, and no neuron is.

# %%
# !connfit check . --sign-rule worm

# %% [markdown]
# The names of the neurons are in a column of the file's table of ROIs. Here it is called `cell_name`. Say so, and let `check` write a
# configuration.

# %%
# !connfit check . --sign-rule worm --option unit_column=cell_name --write config.toml --figure data.png

# %% [markdown]
# Look for three things: how many units matched a neuron, whether values are missing, and how much of the recording drifts out of
# what its first part showed. The picture shows the same.

# %% tags=["hide-input"]
from IPython.display import Image

Image("data.png", alt="Traces of some units, the distribution of values, synapse counts and transmitters", width=700)

# %% [markdown]
# The configuration is yours to read and to change. Each guess stands beside what it decides.

# %%
# !cat config.toml

# %% [markdown]
# ## Fit
#
# This finds how the model starts, trains it, compares it with persistence and autoregressions on frames that it has not seen, and writes
# the report.

# %%
# !connfit fit config.toml --out runs/worm

# %% [markdown]
# ## Read
#
# Open `runs/worm/report.html` in a browser. It is one file: send it to whom you like. Three figures to begin with:

# %% tags=["hide-input"]
from IPython.display import display

for name, what in {
    "functional_connectivity": "Functional connectivity of the data, and of the model when it runs by itself",
    "horizon_skill": "Skill over persistence at several horizons",
    "traces": "Traces of some units and what the model predicts one frame ahead",
}.items():
    display(Image(f"runs/worm/figures/{name}.png", alt=what, width=700))

# %% [markdown]
# The same numbers are in `metrics.json`, for programs. What was fitted is in tables:

# %%
# !connfit export runs/worm --to tables --out tables
# !ls tables

# %% [markdown]
# ## The same in ten lines of Python

# %%
import connfit as cf

brain = cf.connectome_from_tables("worm", "edges.csv", "neurons.csv", sign_rule="worm")
recording = cf.read_recording("animal.nwb", unit_column="cell_name")
fit = cf.fit(brain, recording, epochs=5, progress=False)
evaluation = cf.evaluate(fit)
print(evaluation.table())
fit.weights_table().head()

# %% [markdown]
# **Next**: [what to do when an autoregression wins](ar_wins.py), [stimuli and behaviour](inputs.py), or what [the limits](../limits.md) of
# all this are.
