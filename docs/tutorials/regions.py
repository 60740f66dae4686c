# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Regions of your own, as of a zebrafish
#
# Many recordings are of regions: the mean fluorescence of the tectum, the habenula, and so on. The connectome still has neurons; a column of
# its table says in which region each one lies. Here are two fish, eight regions, 120 neurons, and titles of columns that no other laboratory
# uses. The files are **SURROGATE** (`examples/tutorials/make_files.py regions`).

# %% tags=["hide"]
# %run docs/site/tutorial_folder.py regions

# %%
# !head -3 cells.csv synapses.csv signs.csv fish_1.csv

# %% [markdown]
# ## Check
#
# Two things no file can say: which column is the region, and which sign each transmitter has. `signs.csv` is a rule of our own.

# %%
# !connfit check cells.csv synapses.csv fish_1.csv fish_2.csv --column region=brain_area --sign-rule signs.csv --write config.toml

# %% [markdown]
# Read the lines `drift` and `values`. The values are raw fluorescence, in the hundreds, and fish 1 bleaches: more than half of what comes
# later lies outside of what the first part showed. No model can learn there. So the configuration needs ΔF/F0 with a running baseline, and the
# values have to be scaled after it.
#
# ## Preprocess
#
# Open `config.toml` in an editor and replace the line that begins with `preprocess`. Here Python does it.

# %%
from pathlib import Path

config = Path("config.toml").read_text(encoding="utf-8")
before = next(line for line in config.splitlines() if line.startswith("preprocess"))
after = """preprocess = [
    { step = "delta_f_over_f", window_s = 60 },
    { step = "scale", method = "std", margin = 2.0 },
]"""
Path("config.toml").write_text(config.replace(before, after), encoding="utf-8")

# %%
# !connfit check config.toml

# %% [markdown]
# Each step uses the past only, and takes its constants from the training part. [Data](../data.md#preprocessing) lists them all.
#
# ## Fit

# %%
# !connfit fit config.toml --epochs 20 --out runs/fish

# %% [markdown]
# Both fish share one brain: weights and time constants are the same, each has its own state. Scores are means over the two.
#
# ## Look
#
# In the table above autoregressions are ahead: [what to do when an autoregression wins](ar_wins.py) is a page of its own. Functional
# connectivity is what regions are usually asked about. Left and middle are the data, on the training and on the test part. Right is
# the model when it runs by itself, driven by its own one-step errors.

# %% tags=["hide-input"]
from IPython.display import Image

Image("runs/fish/figures/functional_connectivity_0.png", alt="Functional connectivity of data and model", width=800)

# %% [markdown]
# ## Ask the model
#
# What would happen if the habenula fell silent? This is the fitted model's answer, not the animal's.

# %%
# !connfit simulate runs/fish --silence region:habenula

# %% [markdown]
# Other fits, equally good on the recordings, may answer differently. `connfit evaluate runs/fish --full` fits several seeds;
# [Limits](../limits.md) says why that matters most for regions: a region is a sum over many neurons, and many wirings make the same sum.
