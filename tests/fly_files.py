"""The public formats of fly connectomes, written for a generated brain of a thousand neurons."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

NEURONS = 1000
LABELS = ("ME", "LO", "LOP", "MB_CA", "AL", "GNG", "FB")
UNPAIRED = ("GNG", "FB")
FIRST_ID = 720575940596125868  # above 2^53


@dataclass(frozen=True, eq=False)
class FlyBrain:
    """A generated brain: neurons in the order of their ids, connections by neuropil.

    Parameters
    ----------
    neurons
        `id`, `group`, `nt_type`, `side`, `super_class`.
    rows
        `pre`, `post` (positions), `neuropil`, `count`; one row per pair and neuropil, in no order.
    """

    neurons: pd.DataFrame
    rows: pd.DataFrame

    @property
    def ids(self) -> np.ndarray:
        return self.neurons["id"].to_numpy()

    @property
    def signs(self) -> np.ndarray:
        """By the rule of Shiu et al., unknown transmitters excitatory."""
        return np.where(self.neurons["nt_type"].isin(["GABA", "GLUT"]), -1, 1)

    def pairs(self, min_synapses: int = 1) -> pd.DataFrame:
        """`pre`, `post`, `count` of each pair, summed over neuropils."""
        summed = self.rows.groupby(["post", "pre"], as_index=False)["count"].sum()
        return summed[summed["count"] >= min_synapses].reset_index(drop=True)


def fly_brain(seed: int = 0, neurons: int = NEURONS, rows: int = 12_000) -> FlyBrain:
    """A brain in which every neuron has a connection."""
    rng = np.random.default_rng(seed)
    first, last = (rng.choice(LABELS, neurons) for _ in range(2))
    group = np.where(rng.random(neurons) < 0.5, first, [f"{a}.{b}" for a, b in zip(first, last, strict=True)])
    table = pd.DataFrame(
        {
            "id": FIRST_ID + np.cumsum(rng.integers(1, 10**9, neurons)),
            "group": group,
            "nt_type": rng.choice(["ACH", "GABA", "GLUT", "DA", "SER", "OCT", ""], neurons),
            "side": rng.choice(["left", "right"], neurons),
            "super_class": rng.choice(["optic", "central"], neurons),
        }
    )
    ring = np.arange(neurons)
    neuropils = [f"{label}{end}" for label in LABELS for end in ([""] if label in UNPAIRED else ["_L", "_R"])]
    edges = pd.DataFrame(
        {
            "pre": np.concatenate([ring, rng.integers(0, neurons, rows)]),
            "post": np.concatenate([(ring + 1) % neurons, rng.integers(0, neurons, rows)]),
            "neuropil": rng.choice([*neuropils, "UNASGD"], neurons + rows),
            "count": rng.geometric(0.3, neurons + rows),
        }
    )
    # Some pairs have rows in several neuropils.
    again = edges.sample(frac=0.2, random_state=seed).assign(neuropil="FB")
    edges = pd.concat([edges, again]).drop_duplicates(["pre", "post", "neuropil"])
    return FlyBrain(table, edges.sample(frac=1, random_state=seed).reset_index(drop=True))


def write_codex(brain: FlyBrain, folder: Path, *, header: bool = True) -> dict[str, Path]:
    """`connections`, `neurons`, `classification` as FlyWire Codex exports them, the last in another order."""
    paths = {key: folder / f"{key}.csv.gz" for key in ("connections", "neurons", "classification")}
    ids, rows = brain.ids, brain.rows
    pd.DataFrame(
        {
            "pre_root_id": ids[rows["pre"]],
            "post_root_id": ids[rows["post"]],
            "neuropil": rows["neuropil"],
            "syn_count": rows["count"],
            # Of the row, not of the neuron.
            "nt_type": np.where(np.arange(len(rows)) % 3, "ACH", ""),
        }
    ).to_csv(paths["connections"], index=False, header=header)
    table = brain.neurons.rename(columns={"id": "root_id"})
    table[["root_id", "group", "nt_type"]].assign(nt_type_score=0.5).to_csv(paths["neurons"], index=False)
    table[["root_id"]].assign(
        flow="intrinsic", super_class=table["super_class"], **{"class": ""}, sub_class="", hemilineage="",
        side=table["side"], nerve="",
    ).iloc[::-1].to_csv(paths["classification"], index=False)  # fmt: skip
    return paths


def write_shiu(brain: FlyBrain, folder: Path) -> dict[str, Path]:
    """`connectivity` and `completeness` as Shiu et al. published them."""
    pairs, ids = brain.pairs().sample(frac=1, random_state=1), brain.ids
    pre, post = pairs["pre"].to_numpy(), pairs["post"].to_numpy()
    sign = brain.signs[pre].astype(np.int64)
    table = pd.DataFrame(
        {
            "Presynaptic_ID": ids[pre],
            "Postsynaptic_ID": ids[post],
            "Presynaptic_Index": pre.astype(np.int64),
            "Postsynaptic_Index": post.astype(np.int64),
            "Connectivity": pairs["count"].to_numpy(np.int64),
            "Excitatory": sign,
            "Excitatory x Connectivity": sign * pairs["count"].to_numpy(np.int64),
        }
    )
    paths = {"connectivity": folder / "connectivity.parquet", "completeness": folder / "completeness.csv"}
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), paths["connectivity"], row_group_size=2000)
    pd.DataFrame({"": ids, "Completed": True}).to_csv(paths["completeness"], index=False)
    return paths


def write_malecns(brain: FlyBrain, folder: Path, *, segments: int = 300) -> dict[str, Path]:
    """`annotations`, `transmitters`, `weights` of the male CNS, with further segments that are no neurons."""
    words = {"ACH": "acetylcholine", "GABA": "gaba", "GLUT": "glutamate", "DA": "dopamine", "SER": "serotonin",
             "OCT": "octopamine", "": "unclear"}  # fmt: skip
    rng = np.random.default_rng(2)
    ids = brain.ids
    others = ids.max() + 1 + np.arange(segments)
    paths = {key: folder / f"{key}.feather" for key in ("annotations", "transmitters", "weights")}
    bodies = np.concatenate([ids, others])
    annotations = pd.DataFrame(
        {
            "bodyId": bodies,
            "type": [f"T{k % 50}" if k < len(ids) else None for k in range(len(bodies))],
            "superclass": [*brain.neurons["super_class"], *[None] * segments],
            "class": None,
            "somaSide": [*brain.neurons["side"].str[0].str.upper(), *[None] * segments],
        }
    )
    annotations["class"] = annotations["class"].astype("str")
    feather.write_feather(annotations, paths["annotations"])
    predicted = pd.DataFrame({"body": ids, "consensus_nt": brain.neurons["nt_type"].map(words)})
    feather.write_feather(predicted.sample(frac=1, random_state=3).reset_index(drop=True), paths["transmitters"])
    pairs = brain.pairs()
    pre, post = ids[pairs["pre"]], ids[pairs["post"]]
    weights = pd.DataFrame(
        {
            "body_pre": np.concatenate([pre, rng.choice(others, 200), rng.choice(ids, 200)]),
            "body_post": np.concatenate([post, rng.choice(ids, 200), rng.choice(others, 200)]),
            "weight": np.concatenate([pairs["count"], rng.integers(1, 9, 400)]).astype(np.int64),
        }
    ).drop_duplicates(["body_pre", "body_post"])
    feather.write_feather(
        weights.sample(frac=1, random_state=4).reset_index(drop=True), paths["weights"], chunksize=1500
    )
    return paths


def rewrite(path: Path, old: str, new: str, *, times: int = 1) -> None:
    """Replace text in a gzip file."""
    text = gzip.decompress(path.read_bytes()).decode()
    assert old in text
    path.write_bytes(gzip.compress(text.replace(old, new, times).encode()))
