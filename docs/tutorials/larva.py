# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A larva, from a suite2p folder
#
# suite2p leaves a folder `suite2p/plane0` with fluorescence, neuropil and the settings of the recording. It knows no names: a table says which
# ROI is which neuron. The files are **SURROGATE** (`examples/tutorials/make_files.py larva`).

# %% tags=["hide"]
# %run docs/site/tutorial_folder.py larva

# %%
# !ls larva1/suite2p/plane0
# !head -3 names.csv

# %% [markdown]
# ## Check
#
# `neuropil` is the share of the neuropil's signal that is taken away, as in suite2p. The path of `unit_table` counts from the plane folder.

# %%
# !connfit check edges.csv neurons.csv larva1/suite2p/plane0 --sign-rule fly-paper --option neuropil=0.7 --option unit_table=../../../names.csv --write config.toml

# %% [markdown]
# Of 30 ROIs suite2p took 25 for cells, and 22 of these have a name. The other three are left out as units without a neuron, and the run says so.
#
# ## ΔF/F0
#
# The values are raw fluorescence: ΔF/F0 comes first, then a scale.

# %%
from pathlib import Path

config = Path("config.toml").read_text(encoding="utf-8")
steps = '[{ step = "delta_f_over_f", percentile = 10 }, { step = "scale", method = "std", margin = 2.0 }]'
lines = [f"preprocess = {steps}" if line.startswith("preprocess") else line for line in config.splitlines()]
Path("config.toml").write_text("\n".join(lines), encoding="utf-8")

# %% [markdown]
# ## Fit
#
# GCaMP is slow. Tell the model that an indicator is there, so that it does not take the indicator's decay for the neuron's.

# %%
# !connfit fit config.toml --epochs 20 --set model.observation.indicator=order-1 --set model.observation.decay_s=1.0 --set model.observation.gain=unit --out runs/larva

# %% tags=["hide-input"]
from IPython.display import Image

Image("runs/larva/figures/horizon_skill.png", alt="Skill over persistence at several horizons", width=700)

# %% [markdown]
# What was left out, subtracted and scaled is in `runs/larva/record.json`, with every constant.

# %%
import json

record = json.loads(Path("runs/larva/record.json").read_text(encoding="utf-8"))
print(json.dumps(record["recordings"], indent=1)[:1500])
