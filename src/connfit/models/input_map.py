"""Which external inputs act on which neurons: all, a named set, those that are recorded, or neurons by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from connfit.connectome import Connectome
from connfit.connectome.neuron_sets import NEURON_SETS, neuron_set
from connfit.errors import ConfigError, did_you_mean, first_ten
from connfit.models import ops
from connfit.models.maps import DenseMap, GainMap, SparseMap, SynapticMap
from connfit.models.readout import Readout

Targets = str | tuple[str, ...]
ALL, RECORDED = "all", "recorded"


def input_map(
    connectome: Connectome,
    readout: Readout,
    channels: Sequence[str],
    lags: int,
    targets: Targets | Mapping[str, Targets] = ALL,
    *,
    shared: bool = False,
) -> SynapticMap:
    """Build the map from features, `lags` for each channel, to neurons.

    Parameters
    ----------
    targets
        Neurons that inputs reach, for all channels alike or by channel: `"all"`; `"recorded"`, those that units read; a
        set of `connfit.connectome.neuron_sets`, as `"sensory"`; ids; or `"column=value"` of the neuron table, where
        `*` stands for any letters, as `"type=ASE*"`. Several are put together.
    shared
        One weight for each feature and all its neurons, in place of one for each of them.

    Raises
    ------
    ConfigError
        If no neuron is meant by a word.
    """
    by_channel = targets if isinstance(targets, Mapping) else dict.fromkeys(channels, targets)
    for name in by_channel:
        if name not in channels:
            raise ConfigError(f"inputs.targets names {name!r}, which is no input{did_you_mean(name, channels)}")
    if absent := [name for name in channels if name not in by_channel]:
        raise ConfigError(f"inputs.targets has no neurons for the channel {absent[0]!r}")
    reached = np.stack([_reached(connectome, readout, by_channel[name]) for name in channels], axis=1)
    if not shared and reached.all():
        return DenseMap(connectome.n, len(channels) * lags)
    rows, columns = np.nonzero(np.repeat(reached, lags, axis=1))
    starts = np.searchsorted(rows, np.arange(connectome.n + 1))
    pattern = ops.prepare(ops.Pattern.of(starts, columns, len(channels) * lags))
    if not shared:
        return SparseMap(pattern)
    count = len(columns)
    return GainMap(
        inputs=ops.Pattern.of(np.arange(count + 1), columns, len(channels) * lags),
        magnitudes=jnp.ones(count),
        branches=ops.Pattern.of(starts, np.arange(count), count),
        gain_of=jnp.asarray(columns, jnp.int32),
        order=None,
        gains=len(channels) * lags,
    )


def _reached(connectome: Connectome, readout: Readout, targets: Targets) -> Bool[np.ndarray, "N"]:
    words = (targets,) if isinstance(targets, str) else targets
    if not words:
        raise ConfigError('inputs.targets names no neuron: write "all" for all of them')
    return np.any([_meant(connectome, readout, word) for word in words], axis=0)


def _meant(connectome: Connectome, readout: Readout, word: str) -> Bool[np.ndarray, "N"]:
    """The neurons that one word means."""
    n, table = connectome.n, connectome.neurons
    if word == ALL:
        return np.ones(n, bool)
    if word == RECORDED:
        return np.isin(np.arange(n), readout.matrix.indices)
    if word in NEURON_SETS:
        found = neuron_set(connectome, word)
    elif "=" in word:
        column, _, pattern = word.partition("=")
        if column not in table:
            near = did_you_mean(column, [str(name) for name in table])
            raise ConfigError(f"inputs.targets = {word!r}: the neuron table has no column {column!r}{near}")
        found = np.array([fnmatchcase(value, pattern) for value in table[column].fillna("").astype(str)], bool)
    else:
        ids = table["id"].astype(str)
        found = (ids == word).to_numpy()
        if not found.any():
            near = did_you_mean(word, [*NEURON_SETS, ALL, RECORDED, *ids])
            raise ConfigError(
                f"inputs.targets = {word!r} is no neuron of {connectome.name!r}{near}; write all, recorded, a set "
                f"({', '.join(NEURON_SETS)}), an id, or column=value of the neuron table"
            )
    if not found.any():
        column = word.partition("=")[0] if "=" in word else "type"
        there = sorted(set(table[column].fillna("").astype(str)) - {""}) if column in table else []
        raise ConfigError(
            f"inputs.targets = {word!r} means no neuron of {connectome.name!r}; in its column {column!r} are "
            f"{first_ten(there) or 'no words'}"
        )
    return found
