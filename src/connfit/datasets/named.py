"""The table of named datasets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connfit.datasets.dataset import DataFile, Dataset

_WORM = Dataset(
    name="worm",
    title="C. elegans: three connectomes and whole-brain calcium recordings with neuron names",
    organism="Caenorhabditis elegans",
    licence="none stated; published with Dag et al. 2023. Transmitters: MIT (openworm/ConnectomeToolbox)",
    citation=(
        "Recordings: Dag et al. 2023, Cell. Connectomes: White et al. 1986, Phil Trans R Soc B (white1986_whole); "
        "Witvliet et al. 2021, Nature (witvliet2020_7, witvliet2020_8). Transmitters: Wang et al. 2024, eLife"
    ),
    doi=("10.1016/j.cell.2023.04.023", "10.1098/rstb.1986.0056", "10.1038/s41586-021-03778-8", "10.7554/eLife.95402"),
    source=(
        "originals: https://github.com/flavell-lab/NSM_5HTR_analysis (commit 47bc3704), nemanode.org, "
        "https://github.com/openworm/ConnectomeToolbox; the tables and HDF5 files used here are "
        "conversions without a public address"
    ),
    sizes=MappingProxyType(
        {
            "neurons": 300,
            "chemical connections": 2266,
            "chemical synapses": 6509,
            "gap junction pairs": 569,
            "recordings": 5,
            "frames": 800,
            "frame rate (Hz)": 1.66,
            "traces": "135-146",
        }
    ),
    files=(
        DataFile("neurons.csv", 13776, "80bdb6a7da19df807754694b2e68b2a9949b3471945f2fa5cbfdee810f82b63a"),
        DataFile("connections.csv.gz", 36193, "76ff72423b8029cfea529268e34b0993a6a4cef1e73d864a870a378aa108fe47"),
        DataFile(
            "recordings/2022-07-26-31.h5", 876094, "6abd662c07039919d1d1e188d58ae28022bb52e1bd9b5fb20f7d996caf3735c9"
        ),
        DataFile(
            "recordings/2022-07-26-38.h5", 852582, "a5261dc87d0e21d1f4a4cb77b2bd42a990da56a7fcec62c76ca493fedbe777b2"
        ),
        DataFile(
            "recordings/2022-07-27-31.h5", 871410, "66dd151c928201a0eb3b84a37d19b4f93edf72455468d371948983dca493ce45"
        ),
        DataFile(
            "recordings/2022-07-27-38.h5", 804577, "b493c6a2db4a8766050d3dcbaa147fbcc95c141e045a73a3a8db9d1eaa630554"
        ),
        DataFile(
            "recordings/2022-08-02-38.h5", 840096, "25c5f8a9c7be00e9e314861391af77c3da39f2172692f5f7f0fb656ecae9b441"
        ),
    ),
    recordings=("2022-07-26-31", "2022-07-26-38", "2022-07-27-31", "2022-07-27-38", "2022-08-02-38"),
    variants=("white1986_whole", "witvliet2020_7", "witvliet2020_8"),
    preprocess=(
        MappingProxyType({"step": "high_pass", "cutoff_hz": 0.01}),
        MappingProxyType({"step": "scale", "method": "std", "margin": 2.0}),
    ),
)

_DEMO = Dataset(
    name="demo",
    title="SURROGATE: a generated brain with a hidden teacher, for demonstrations and tests",
    organism="none (generated)",
    licence="Apache-2.0",
    citation="connfit",
    doi=(),
    source="generated from a seed; no measured data",
    sizes=MappingProxyType({"neurons": 2000, "regions": 20, "recordings": 4, "frames": 600, "frame rate (Hz)": 1.2}),
    recordings=("1", "2", "3", "4"),
)

_FLY = "Drosophila melanogaster"
# The filter takes away drift that is slower than 100 s, the margin leaves rates room below the training part's floor.
_FLY_PREPROCESS = (
    MappingProxyType({"step": "high_pass", "cutoff_hz": 0.01}),
    MappingProxyType({"step": "scale", "method": "std", "margin": 2.0}),
)
# What a machine of two cores can afford, and nothing that is chosen for these flies.
_FLY_FIT = MappingProxyType(
    {
        "train.epochs": 15,
        "train.batch": 1,
        "train.patience": 10,
        "train.checkpoint_every": 5,
        "evaluate.free_run_runs": 64,
        "evaluate.horizon_starts": 32,
    }
)
# For gains that types share: these tables hold no cell types. Lineages are the finest label that most of the central
# brain has.
_FLY_FIT_UNTYPED = MappingProxyType({**_FLY_FIT, "model.type_column": "hemilineage"})
_CODEX = "https://storage.googleapis.com/flywire-data/codex/data/fafb"
_SHIU = "https://raw.githubusercontent.com/philshiu/Drosophila_brain_model/main"
_MALECNS = "https://storage.googleapis.com/flyem-male-cns/v1.0/connectome-data/flat-connectome"
_DORKENWALD, _SCHLEGEL, _LIN, _SHIU_DOI, _ECKSTEIN, _BUHMANN, _ZHENG = (
    "10.1038/s41586-024-07558-y", "10.1038/s41586-024-07686-5", "10.1038/s41586-024-07968-y",
    "10.1038/s41586-024-07763-9", "10.1016/j.cell.2024.03.016", "10.1038/s41592-021-01183-7",
    "10.1016/j.cell.2018.06.019",
)  # fmt: skip
_FLYWIRE_CITATION = (
    "Dorkenwald et al. 2024, Nature; Schlegel et al. 2024, Nature; transmitters: Eckstein et al. 2024, Cell"
)

_NEURONS_783 = DataFile(
    "neurons.csv.gz", 1679884, "6a6b3759e635f0f35a677d169052362131ec61d95f55919298b55c43fce4e719",
    f"{_CODEX}/783/neurons.csv.gz",
)  # fmt: skip
_CLASSIFICATION_783 = DataFile(
    "classification.csv.gz", 934402, "e946b552f4056dfc977707be0674609832c3f64332a22d69dc0d9615e7aae663",
    f"{_CODEX}/783/classification.csv.gz",
)  # fmt: skip

_FLY_HALVES = Dataset(
    name="fly-783-halves",
    title="Adult fly brain (FlyWire 783): the connections of at least 5 synapses within a hemisphere",
    organism=_FLY,
    licence="CC-BY-4.0",
    citation=f"{_FLYWIRE_CITATION}. Image volume: Zheng et al. 2018, Cell",
    doi=(_DORKENWALD, _SCHLEGEL, _ECKSTEIN, _ZHENG),
    source=(
        "originals: FlyWire Codex, snapshot 783; the connections were summed over neuropils and restricted to a "
        "hemisphere in https://github.com/eudald-seeslab/connectome (commit 006b5ffe), a conversion without a public "
        "address"
    ),
    sizes=MappingProxyType({"neurons": 133436, "connections": 2309630, "synapses": 28363450}),
    files=(
        _NEURONS_783,
        _CLASSIFICATION_783,
        DataFile(
            "connections_within_hemisphere.parquet", 8554294,
            "e8a5239a1a7c363109251b8db4136bb1020ce51d6c4a7f09df597555cbff27ae",
        ),
    ),
    fit=_FLY_FIT_UNTYPED,
    folder="flywire",
)  # fmt: skip

_FLY_SURROGATE = Dataset(
    name="fly-surrogate",
    title=(
        "SURROGATE: real neurons and within-hemisphere connections of the adult fly, generated connections for what is "
        "missing, and generated recordings of a hidden teacher"
    ),
    organism="partly generated; wiring in part Drosophila melanogaster",
    licence="Apache-2.0; the real neurons and connections in it CC-BY-4.0",
    citation=f"connfit; real part: {_FLYWIRE_CITATION}; totals: Lin et al. 2024, Nature; Shiu et al. 2024, Nature",
    doi=(_DORKENWALD, _SCHLEGEL, _ECKSTEIN, _LIN, _SHIU_DOI),
    source="generated from a seed and from the files of fly-783-halves; no measured activity",
    sizes=MappingProxyType(
        {"neurons": 138639, "connections": 15091983, "recordings": 18, "frames": 2000, "frame rate (Hz)": 1.2}
    ),
    recordings=tuple(str(number) for number in range(1, 19)),
    preprocess=_FLY_PREPROCESS,
    fit=_FLY_FIT_UNTYPED,
)

_FLYWIRE_783 = Dataset(
    name="flywire-783",
    title="FlyWire adult female fly brain, snapshot 783, Codex exports",
    organism=_FLY,
    licence="CC-BY-4.0",
    citation=f"{_FLYWIRE_CITATION}. Synapses: Buhmann et al. 2021, Nat Methods. Image volume: Zheng et al. 2018, Cell",
    doi=(_DORKENWALD, _SCHLEGEL, _ECKSTEIN, _BUHMANN, _ZHENG),
    source="https://codex.flywire.ai/",
    sizes=MappingProxyType({"neurons": 139255, "connections of at least 5 synapses": 2700513}),
    files=(
        _NEURONS_783,
        _CLASSIFICATION_783,
        DataFile(
            "fw_and_hemibrain_types.csv.gz", 1043857,
            "193f266279f20cfd816e3631a9225cf887d3424d337454a20f09d10916472bd0",
            f"{_CODEX}/783/fw_and_hemibrain_types.csv.gz",
        ),
        DataFile(
            "consolidated_cell_types.csv.gz", 901707,
            "8aba246d71dc40361677493629972ce3883048c3d02010adc42bda22962a1a2d",
            f"{_CODEX}/783/consolidated_cell_types.csv.gz",
        ),
        DataFile(
            "connections.csv.gz", 50289304, "d49dd692e59e153aa3c83f5257bfc0eff51247b86d7bb183386c6d1622c70fc9",
            f"{_CODEX}/783/connections.csv.gz",
        ),
        DataFile(
            "connections_princeton.csv.gz", 68456801,
            "445f996bf6c4b1803b9ba186189138a3061ff8623aa94c0abcf38af30a5bd48b",
            f"{_CODEX}/783/connections_princeton.csv.gz",
        ),
        DataFile(
            "connections_no_threshold.csv.gz", 212093967, None, f"{_CODEX}/783/connections_no_threshold.csv.gz"
        ),
    ),
    variants=("threshold5", "no_threshold", "princeton"),
    fit=_FLY_FIT,
    folder="flywire",
)  # fmt: skip

_FLYWIRE_630 = Dataset(
    name="flywire-630",
    title="FlyWire adult female fly brain, snapshot 630, Codex exports",
    organism=_FLY,
    licence="CC-BY-4.0",
    citation=f"{_FLYWIRE_CITATION}. Network statistics: Lin et al. 2024, Nature",
    doi=(_DORKENWALD, _SCHLEGEL, _LIN, _ECKSTEIN),
    source="https://codex.flywire.ai/",
    sizes=MappingProxyType({"connections of at least 5 synapses": 2613129}),
    files=(
        DataFile(
            "neurons.csv.gz", 1572661, "a0be4670993d86cea0a4724ba24f874c9d867a24f4e248ff30dcf9b6565d81bb",
            f"{_CODEX}/630/neurons.csv.gz",
        ),
        DataFile(
            "classification.csv.gz", 1011550, "b2cf34ef76f5750e647334b56c73ae7f49c96f0fee3371e8a52d26c835a3b499",
            f"{_CODEX}/630/classification.csv.gz",
        ),
        DataFile(
            "connections.csv.gz", 26124953, "68144490b8585fb6b1bf5979d923a3b1081b435cd52b7f82daed1beb6b84781a",
            f"{_CODEX}/630/connections.csv.gz",
        ),
        DataFile(
            "no_threshold_connections.csv.gz", 116904594, None, f"{_CODEX}/630/no_threshold_connections.csv.gz"
        ),
    ),
    variants=("threshold5", "no_threshold"),
    fit=_FLY_FIT,
)  # fmt: skip

_SHIU_CITATION = "Shiu et al. 2024, Nature; wiring: Dorkenwald et al. 2024, Nature"
_SHIU_783 = Dataset(
    name="shiu-783",
    title="Shiu et al. 2024: signed whole-brain connections of the adult fly, FlyWire snapshot 783, no threshold",
    organism=_FLY,
    licence="MIT",
    citation=_SHIU_CITATION,
    doi=(_SHIU_DOI, _DORKENWALD),
    source="https://github.com/philshiu/Drosophila_brain_model",
    sizes=MappingProxyType({"neurons": 138639, "connections": 15091983}),
    files=(
        DataFile(
            "Connectivity_783.parquet", 100804642,
            "efeb23fb99098e9c390f6869969b2a121a2ee92c833cfc45ecb2c1d8e1af0347", f"{_SHIU}/Connectivity_783.parquet",
        ),
        DataFile(
            "Completeness_783.csv", 3327347,
            "bbb847a4cc2caaa7a16349722d220c087317b946d148d4d592d94d250617a311", f"{_SHIU}/Completeness_783.csv",
            also_at=(
                DataFile(
                    "Completeness_783.csv.gz", 483572,
                    "3803af4875081fc64656fd8149154985b77d2987d59835fbb29bf0a213e0dbbe",
                ),
            ),
        ),
    ),
    fit=_FLY_FIT,
    folder="flywire",
)  # fmt: skip

_SHIU_630 = Dataset(
    name="shiu-630",
    title="Shiu et al. 2024: signed whole-brain connections of the adult fly, FlyWire snapshot 630, no threshold",
    organism=_FLY,
    licence="MIT",
    citation=_SHIU_CITATION,
    doi=(_SHIU_DOI, _DORKENWALD),
    source="https://github.com/philshiu/Drosophila_brain_model",
    sizes=MappingProxyType({"neurons": 127400, "connections": 14687178}),
    files=(
        DataFile(
            "2023_03_23_connectivity_630_final.parquet", 86630944,
            "94db8c650533bc36ffa3223f2e62325d5648b8d6bd31c3a4e1c804628c7557b3",
            f"{_SHIU}/2023_03_23_connectivity_630_final.parquet",
        ),
        DataFile(
            "2023_03_23_completeness_630_final.csv", 3057611,
            "e6b71e17671a9bdb05f55e4bc6774640a1418cb7a05125e0fc994ad40f9bfdfb",
            f"{_SHIU}/2023_03_23_completeness_630_final.csv",
        ),
    ),
    fit=_FLY_FIT,
)  # fmt: skip

_MALECNS_1 = Dataset(
    name="malecns-1.0",
    title="Connectome of the central nervous system of an adult male fly, version 1.0",
    organism=_FLY,
    licence="CC-BY-4.0",
    citation="Male CNS connectome 1.0, Cell 2026",
    doi=("10.1016/j.cell.2026.08.015",),
    source="https://male-cns.janelia.org/",
    sizes=MappingProxyType({"neurons": 166700, "rows of the connection table, all segments": 151856684}),
    files=(
        DataFile(
            "body-annotations-male-cns-v1.0-minconf-0.5.feather", 14483314,
            "2177e246113e4cfbf1e7772ec37c6da1955ff22e8063d0b1f833101f99a9a3b2",
            f"{_MALECNS}/body-annotations-male-cns-v1.0-minconf-0.5.feather",
        ),
        DataFile(
            "body-neurotransmitters-male-cns-v1.0.feather", 43282834,
            "95c9289220663abeb3409f3ad9e5a7f8a53f8093f5139d15502cd08da8879621",
            f"{_MALECNS}/body-neurotransmitters-male-cns-v1.0.feather",
        ),
        DataFile(
            "connectome-weights-male-cns-v1.0-minconf-0.5.feather", 1051241946,
            "e35da783d1c686b2b58b3b87cd6a403ae43bfcfba8bff28e08ef752c1a56afc1",
            f"{_MALECNS}/connectome-weights-male-cns-v1.0-minconf-0.5.feather",
        ),
        DataFile(
            "tbar-neurotransmitters-male-cns-v1.0.feather", 2651680218,
            "bade84c9eab431dd537ff644aaf3d203d639a819c739ecedb338e7d109064f4d",
            f"{_MALECNS}/tbar-neurotransmitters-male-cns-v1.0.feather", optional=True,
        ),
        DataFile(
            "syn-partners-male-cns-v1.0-minconf-0.5.feather", 6777179098, None,
            f"{_MALECNS}/syn-partners-male-cns-v1.0-minconf-0.5.feather",
            md5="58efcf712f8c4d4de5f2ad51e97def76", optional=True,
        ),
        DataFile(
            "syn-points-male-cns-v1.0-minconf-0.5.feather", 13061489098, None,
            f"{_MALECNS}/syn-points-male-cns-v1.0-minconf-0.5.feather",
            md5="c69d08758de07582035cc8843574493a", optional=True,
        ),
    ),
    fit=_FLY_FIT,
)  # fmt: skip

_TURNER = Dataset(
    name="turner-2021",
    title="Regional calcium signals of 20 resting flies, one per region of the Ito atlas (raw fluorescence)",
    organism=_FLY,
    licence="MIT",
    citation="Turner, Mann and Clandinin 2021, Current Biology",
    doi=("10.1016/j.cub.2021.03.004", "10.6084/m9.figshare.13349282"),
    source="https://doi.org/10.6084/m9.figshare.13349282",
    sizes=MappingProxyType({"flies": 20, "regions": "72-75", "frames": "2000-4000", "frame rate (Hz)": 1.2}),
    files=(
        DataFile(
            "data_TurnerMannClandinin.tar.gz", None,
            "b6b0ea42da2d728e76ff3c646b56e7d32ecf0fcabb63eba585725cf1f0835f77",
            "https://ndownloader.figshare.com/files/26356327",
        ),
    ),
    # As the authors' program listed them when it made the regional signals
    # (job_outputs/get_region_responses.3003299.out of github.com/mhturner/SC-FC).
    recordings=(
        "2017-10-26_1", "2017-10-30_1", "2017-10-30_2", "2017-11-08_1", "2017-11-08_2", "2017-11-16_1", "2018-10-19_1",
        "2018-10-19_2", "2018-10-20_1", "2018-10-31_1", "2018-11-03_2", "2018-11-03_3", "2018-11-03_4", "2018-11-03_5",
        "2018-12-12_2", "2018-12-12_3", "2018-12-12_4", "2018-12-14_1", "2018-12-14_2", "2018-12-14_3",
    ),
    # A window of 120 s, about one period of the authors' 0.01 Hz filter, follows bleaching and shifts of the
    # baseline without looking ahead. 0.8 s is the decay of a fast GCaMP6; estimating it would take the slowness
    # of the activity for that of the indicator.
    preprocess=(
        MappingProxyType({"step": "delta_f_over_f", "percentile": 20.0, "window_s": 120.0}),
        MappingProxyType({"step": "deconvolve", "tau_s": 0.8}),
        MappingProxyType({"step": "scale", "method": "std"}),
    ),
)  # fmt: skip

DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        one.name: one
        for one in (
            _WORM, _DEMO, _FLY_HALVES, _FLY_SURROGATE, _FLYWIRE_783, _FLYWIRE_630, _SHIU_783, _SHIU_630, _MALECNS_1,
            _TURNER,
        )
    }
)  # fmt: skip
