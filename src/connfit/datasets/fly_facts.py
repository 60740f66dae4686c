"""What the datasets of the fly share: references, the tables of snapshot 783, options of a fit that suit them."""

from __future__ import annotations

from types import MappingProxyType

from connfit.datasets.registry import DataFile

ORGANISM = "Drosophila melanogaster"
DORKENWALD, SCHLEGEL, LIN, SHIU, ECKSTEIN, BUHMANN, ZHENG = (
    "10.1038/s41586-024-07558-y", "10.1038/s41586-024-07686-5", "10.1038/s41586-024-07968-y",
    "10.1038/s41586-024-07763-9", "10.1016/j.cell.2024.03.016", "10.1038/s41592-021-01183-7",
    "10.1016/j.cell.2018.06.019",
)  # fmt: skip
FLYWIRE_CITATION = (
    "Dorkenwald et al. 2024, Nature; Schlegel et al. 2024, Nature; transmitters: Eckstein et al. 2024, Cell"
)
CODEX = "https://storage.googleapis.com/flywire-data/codex/data/fafb"
NEURONS, CLASSIFICATION = "neurons.csv.gz", "classification.csv.gz"
TABLES_783 = (
    DataFile(
        NEURONS, 1679884, "6a6b3759e635f0f35a677d169052362131ec61d95f55919298b55c43fce4e719", f"{CODEX}/783/{NEURONS}"
    ),
    DataFile(
        CLASSIFICATION, 934402, "e946b552f4056dfc977707be0674609832c3f64332a22d69dc0d9615e7aae663",
        f"{CODEX}/783/{CLASSIFICATION}",
    ),
)  # fmt: skip
"""Tables of neurons of snapshot 783."""

FLY_FIT = MappingProxyType(
    {
        "train.epochs": 15,
        "train.batch": 1,
        "train.patience": 10,
        "train.checkpoint_every": 5,
        "evaluate.horizon_starts": 32,
    }
)
"""What a machine of two cores can afford, and nothing that is chosen for these flies."""

FLY_FIT_UNTYPED = MappingProxyType({**FLY_FIT, "model.type_column": "hemilineage"})
"""The same where tables hold no cell types, for gains that types share: lineages are the finest label that most of the
central brain has."""
