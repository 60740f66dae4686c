# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reading a study
#
# One fit says how well one model predicts. A study asks whether the connectome had anything to do with it: it fits the same model again
# without its wiring, or with a rewired one, over several seeds, with the same choices left to each. The data are **SURROGATE**
# (`examples/tutorials/make_files.py worm`): neurons that really act on each other through the wiring.

# %% tags=["hide"]
# %run docs/site/tutorial_folder.py worm

# %% [markdown]
# ## Fit once
#
# A study repeats the options of one fit for every row. Leave starts and rates to the recipe, so that each row finds its own; a null that has to
# live with what was tuned for the real wiring is no fair opponent. Here, and only to be quick, these options are fixed.

# %%
quick = {
    "drive": "none", "drive_start": "regression", "state_forcing": 1.0, "time_constant_frames": 1.0, "weights": "counts",
    "own_shrinkage": 0.0, "drive_ridge": 0.0, "learning_rate": 0.01, "epochs": 10, "weight_spread": 0.3,
    "baselines": ["mean", "persistence", "ar", "var_ridge"], "left_out_units": 0, "free_run_runs": 2,
}  # fmt: skip

import connfit as cf

brain = cf.connectome_from_tables("worm", "edges.csv", "neurons.csv", sign_rule="worm")
recording = cf.read_recording("animal.nwb", unit_column="cell_name")
fit = cf.fit(brain, recording, progress=False, **quick)
fit.save("runs/worm")

# %% [markdown]
# ## Then everything again
#
# Two seeds and four rows beside the connectome's. A real study has three seeds or more, and all rows; `--dry-run` says how long it takes.

# %%
# !connfit evaluate runs/worm --full --seeds 2 --rows rewire_degrees --rows no_recurrence --rows ar --rows var_ridge

# %% [markdown]
# ## Read it from the left to the right
#
# **A row** is one model, its numbers are means over seeds. `connectome` is yours. `rewire_degrees` keeps how many partners each neuron has,
# and changes who they are. `no_recurrence` has no connections at all. `ar` and `var_ridge` never saw a connectome.
#
# **A difference** is connectome minus row, with a 95 % interval over blocks of time and over seeds. A star says that the interval leaves out
# 0. Above 0 the connectome is better.

# %%
study = cf.load_study("runs/worm")
print(*study.verdict, sep="\n\n")

# %% [markdown]
# Here the answer is that there is no evidence, although the data were made with this very wiring. That happens: 18 of 40 neurons were
# recorded, and the fit was a quick one. No evidence for the wiring is not evidence against it.
#
# **Ask four things**, in this order.
#
# 1. *Is the connectome row trained?* If no epoch was better on validation than the start, the row shows the start.
# 2. *Does it beat `no_recurrence`?* If not, connections carry nothing that the rest of the model does not supply, and no null can be worse.
#    Then look at the drive: a dense one can replace the wiring.
# 3. *Does it beat the nulls?* Each destroys one property. A null that is as good says that this property did not matter here.
# 4. *Does it beat the autoregressions?* That is about prediction, not about wiring. The wiring may matter in a model that predicts worse.
#
# **Count the intervals.** With twenty of them one leaves out 0 by chance.

# %%
print(study.comparisons.text)

# %% [markdown]
# ## What it can show
#
# A study shows what a recording shows. From recordings of regions no study can rank signs or wiring within a region, because they sum over it
# ([Studies](../study.md) has the numbers). And a study on one animal speaks of one animal.
