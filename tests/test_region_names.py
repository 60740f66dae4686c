"""Names of regions: the published lists, one table, and mappings that leave nothing out silently."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS, NAMINGS, RECORDED_73, map_regions, region_table
from connfit.errors import ConfigError


def test_lists() -> None:
    assert len(FLYWIRE_NEUROPILS) == len(set(FLYWIRE_NEUROPILS)) == 78 and len(RECORDED_73) == 73
    unpaired = [name for name in FLYWIRE_NEUROPILS if not name.endswith(("_L", "_R"))]
    assert unpaired == ["EB", "FB", "GNG", "NO", "OCG", "PB", "PRW", "SAD"]
    left, right = ({name[:-2] for name in FLYWIRE_NEUROPILS if name.endswith(side)} for side in ("_L", "_R"))
    assert left == right and len(left) == 35
    assert set(FLYWIRE_NEUROPILS) - set(RECORDED_73) == {"LA_L", "LA_R", "AME_L", "AME_R", "OCG"}


def test_neuropils_are_those_of_the_neuron_table(data_dir: Path) -> None:
    path = data_dir / "flywire" / "neurons.csv.gz"
    if not path.exists():
        pytest.skip(f"needs {path}")
    with gzip.open(path) as file:
        groups = pd.read_csv(file, usecols=["group"])["group"].unique()
    labels = {label for group in groups for label in group.split(".")} - {"NO_CONS", "UNASGD"}
    assert labels == {name.removesuffix("_L").removesuffix("_R") for name in FLYWIRE_NEUROPILS}


def test_table_has_one_row_per_neuropil() -> None:
    table = region_table()
    assert tuple(region.names["flywire"][0] for region in table) == FLYWIRE_NEUROPILS
    assert all(region.full_name for region in table)
    for naming in NAMINGS:
        names = [name for region in table for name in region.names[naming]]
        assert all(name == name.strip() and name for name in names)
        repeated = {name for name in names if names.count(name) > 1}
        assert repeated == ({"IB"} if naming == "malecns" else set())
    for region in table:
        flywire, malecns = region.names["flywire"][0], region.names["malecns"]
        side = f"({flywire[-1]})" if flywire.endswith(("_L", "_R")) else ""
        if malecns not in (("IB",), ("FB", "AB(L)", "AB(R)")):
            assert all(name.endswith(side) if side else "(" not in name for name in malecns), flywire
        assert region.full_name.startswith({"(L)": "left ", "(R)": "right "}.get(side, region.full_name))


def test_the_atlas_has_75_names_and_all_are_flywires() -> None:
    atlas = [name for region in region_table() for name in region.names["ito"]]
    assert len(atlas) == 75
    mapping = map_regions("ito", "flywire")
    assert set(mapping) == set(atlas) and all(len(others) == 1 for others in mapping.values()), "one to one"
    assert {others[0] for others in mapping.values()} == set(FLYWIRE_NEUROPILS) - {"LA_L", "LA_R", "OCG"}


def test_divided_and_merged_regions() -> None:
    male = map_regions("flywire", "malecns")
    assert male["MB_VL_R"] == ("aL(R)", "a'L(R)") and male["AL_L"] == ("AL(L)",) and male["OCG"] == ()
    assert male["IB_L"] == male["IB_R"] == ("IB",), "one region there"
    back = map_regions("malecns", "flywire")
    assert back["aL(R)"] == back["a'L(R)"] == ("MB_VL_R",) and back["CA(L)"] == ("MB_CA_L",)
    assert map_regions("malecns", "ito")["IB"] == ("IB_L", "IB_R")
    assert "MB_CAL_R" not in male and map_regions("flywire", "ito")["LA_L"] == ()
    with pytest.raises(ConfigError, match=r"target is 'flywre'.*did you mean 'flywire'"):
        map_regions(target="flywre")


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_naming_maps_to_itself(naming: str) -> None:
    assert map_regions(naming, naming) == {name: (name,) for region in region_table() for name in region.names[naming]}
