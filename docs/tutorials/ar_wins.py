# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What to do when an autoregression wins
#
# A report says: *ridge VAR wins, pooled and by the median unit*. That is common. An autoregression (AR) predicts each unit from its own past, a
# vector autoregression (VAR) from the past of all units. Both are good, and neither knows a connectome. This page goes through what can be
# done, in the order in which it is worth trying. The data are **SURROGATE**: `examples/own_data/make_data.py` made them, from neurons that
# were seen through a slow calcium indicator.

# %% tags=["hide"]
# %run docs/site/tutorial_folder.py own_data

# %%
import connfit as cf

columns = dict(pre="source", post="target", count="syn_count", id="root_id", type="cell_type", transmitter="nt")
brain = cf.connectome_from_tables("own", "edges.csv", "neurons.csv", sign_rule="fly-paper", **columns)
recording = cf.read_recording("animal_1.csv", missing="mask")


def skills(**options):
    """Fit with options; return the evaluation."""
    fit = cf.fit(brain, recording, epochs=20, progress=False, left_out_units=0, **options)
    return cf.evaluate(fit)


plain = skills()
plain.table().round(3)

# %% [markdown]
# Each number is skill over persistence on the test part: 0 is no better than "the next frame is like this one", 1 is perfect. The model is
# behind ridge VAR one frame ahead, and far from it.
#
# ## 1. Does anything win at all?
#
# Look at the row `mean` and at 30 frames. Where the mean wins, nothing is predicted any more, only remembered. Compare predictors at
# horizons where they beat both persistence and the mean: here, up to about 10 frames.
#
# ## 2. Look for drift
#
# Recordings drift, and a test part that lies outside of what training showed is hard for a model of rates, less so for an autoregression.
# `connfit check` says how much that is. Here is the same question in Python:

# %%
import numpy as np

first, rest = np.split(recording.values, [int(0.6 * recording.frames)])
outside = (rest < np.nanmin(first, axis=0)) | (rest > np.nanmax(first, axis=0))
print(f"{outside.mean():.0%} of the later values lie outside of what the first part showed")

# %% [markdown]
# If that is much, and if slow drift is no signal for you, take it away with `high_pass`. Mind that scores before and after are not of the same
# values: compare the model with the baselines of its own table, not with the model of another.

# %%
steps = [{"step": "high_pass", "cutoff_hz": 0.02}, {"step": "scale", "method": "std", "margin": 2.0}]
skills(preprocess=steps).table().round(3)

# %% [markdown]
# Here the baselines gain from it as much as the model: drift was not the reason.
#
# ## 3. Say what the recording is
#
# An autoregression of order 2 has what calcium needs: a memory of its own. A rate model without an indicator has to take the indicator's decay
# for the neuron's. Say that there is one, and let the model learn how far each unit's error corrects its states.

# %%
indicator = {"indicator": "order-1", "decay_s": 1.0, "gain": "unit"}
observed = skills(observation=indicator)
observed.table().round(3)

# %% [markdown]
# That was it: from one to ten frames ahead the model is now where the best baseline is, or ahead of it. `decay_s` is where
# the search starts, it is learned; [Observation](../observation.md) has indicators by name.
#
# These data are made up, and how they were made says that there is an indicator. Seven sets of options were tried for this page with test
# scores in sight, so the numbers above show what an indicator does, and are no evidence that this model predicts better. On your
# data choose by validation, and report the test part once.

# %%
before, after = plain.skills("test")["model"], observed.skills("test")["model"]
print("frames ahead:  ", *list(before))
print("plain:         ", *[f"{value:.3f}" for value in before.values()])
print("with indicator:", *[f"{value:.3f}" for value in after.values()])

# %% [markdown]
# ## 4. Fewer parameters, or more data
#
# A fit with many more parameters than its recording can determine learns noise. The last lines of `connfit fit`, and the report, count both.
# Take away what you can do without: `strengths="gain_per_neuron"` learns one number per neuron in the place of one per connection,
# `drive="anatomical"` lets a unit drive only the neurons that it reads.
#
# More animals help in the same way, since they share one brain: `cf.fit(brain, [first, second])`.
#
# ## 5. Ask another question
#
# A model with a connectome is not made to win one frame ahead. It can do what an autoregression cannot: say what hidden neurons do, what
# happens when a neuron is silenced or stimulated, and what all that owes to the wiring. If the model predicts about as well as the best
# autoregression, these answers are worth having; [measured responses](../measured.md) say how far they are right.
#
# ## 6. Believe it
#
# Sometimes an autoregression is simply better. Of five worms fitted one by one the model wins on one, loses on two, and is not distinguishable
# on two ([Studies](../study.md)). Then say so: it is a result. Do not try options until one wins on the test part. Choose on validation, and look at the test part once.
