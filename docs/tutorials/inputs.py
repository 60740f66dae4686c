# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Stimuli and behaviour
#
# What the animal saw and did is often recorded beside its neurons. connfit takes such channels as inputs. This page asks whether they help. The
# file is **SURROGATE** (`examples/tutorials/make_files.py stimulus`): light flashes, and the neurons of the tectum see it.

# %% tags=["hide"]
# %run docs/site/tutorial_folder.py stimulus

# %%
import pandas as pd

table = pd.read_csv("animal.csv")
print(*table.columns)

# %% [markdown]
# ## Read channels beside activity
#
# `light` and `speed` are columns of the recording's own file. Name them as inputs, and they are no units.

# %%
import connfit as cf

brain = cf.connectome_from_tables("fish", "edges.csv", "neurons.csv", sign_rule="worm")
recording = cf.read_recording("animal.csv", inputs=("light", "speed"))
recording

# %% [markdown]
# ## A stimulus
#
# A computer made the light, so the animal cannot have caused it: that is `exogenous`. A forecast then knows the light of the frames ahead. It
# acts on the tectum alone.

# %%
light = {"channels": ("light",), "exogenous": True, "targets": "region=tectum"}
with_light = cf.fit(brain, recording, epochs=20, progress=False, left_out_units=0, **light)
without = cf.fit(brain, recording, epochs=20, progress=False, left_out_units=0)

# %%
cf.compare(with_light, without, names=("with light", "without"), horizons=[1, 2, 5, 10])

# %% [markdown]
# Each row is the difference in skill with its interval. An interval that includes 0 says: not distinguishable. Here the light helps ten frames
# ahead, where the stimulus is known and activity has to be forecast. One frame ahead it does not: the frame before has shown the light already,
# and there are more weights to learn.
#
# The baselines get the same light, as ARX and VARX. So a model that wins only because it saw the light does not win here:

# %%
cf.evaluate(with_light).table().round(3)

# %% [markdown]
# ## Behaviour
#
# Speed is not exogenous: the animal's neurons made it. So frame *t* sees the speed up to frame *t* − 1, and a forecast has to forecast the speed,
# too. Leave `exogenous` out and choose the lags: `channels=("light", "speed"), lags=(1, 2)`. In a configuration the same options are
# under `[inputs]`.

# %% [markdown]
# ## What the model made of the light
#
# The map from channels to neurons is the parameter group `inputs`. [Inputs](../inputs.md) has all options: lags, named sets of neurons,
# channels with targets of their own, trials and epochs, NWB files with stimuli.

# %%
with_light.params["inputs"].shape
