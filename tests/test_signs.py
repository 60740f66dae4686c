"""Sign rules, transmitter spellings and the policy for what a rule does not cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connfit.connectome.signs import ALIASES, RULES, UNKNOWN_POLICIES, assign_signs, canonical_transmitter
from connfit.errors import ConfigError, DataError

SIX = ["ACH", "DA", "GABA", "GLUT", "OCT", "SER"]


@pytest.mark.parametrize(("rule", "expected"), [("fly-paper", [1, 1, -1, -1, -1, -1]), ("shiu", [1, 1, -1, -1, 1, 1])])
def test_published_rules(rule: str, expected: list[int]) -> None:
    assert assign_signs(SIX, rule).values.tolist() == expected


def test_worm_rule_covers_three_transmitters_only() -> None:
    signs = assign_signs([*SIX, "unknown", "gaba_uptake", ""], "worm", unknown="inhibitory")
    assert signs.values.tolist() == [1, -1, -1, 1, -1, -1, -1, -1, -1]
    assert dict(signs.unknown) == {
        "dopamine": 1,
        "octopamine": 1,
        "serotonin": 1,
        "unknown": 1,
        "gaba_uptake": 1,
        "": 1,
    }
    assert signs.notes()["unknown_transmitter_neurons"] == 6


@given(st.sampled_from(sorted(ALIASES)), st.randoms(use_true_random=False))
def test_spelling_and_case_do_not_matter(alias: str, random) -> None:
    written = "".join(one.upper() if random.random() < 0.5 else one for one in f" {alias} ")
    assert canonical_transmitter(written) == ALIASES[alias]
    for rule in RULES:
        assert (
            assign_signs([written], rule, unknown="excitatory").values
            == assign_signs([ALIASES[alias]], rule, unknown="excitatory").values
        )


@given(st.lists(st.sampled_from([*SIX, "", "peptide"])), st.sampled_from(UNKNOWN_POLICIES[1:]))
def test_policies_touch_only_what_the_rule_does_not_cover(transmitters: list[str], policy: str) -> None:
    signs = assign_signs(transmitters, "fly-paper", unknown=policy)
    strange = np.array([one in ("", "peptide") for one in transmitters], bool)
    known = [one for one in transmitters if one in SIX]
    assert signs.values[~strange].tolist() == assign_signs(known, "fly-paper").values.tolist()
    assert (signs.values[strange] == (-1 if policy == "inhibitory" else 1)).all()
    np.testing.assert_array_equal(signs.dropped, strange & (policy == "drop"))
    assert sum(signs.unknown.values()) == strange.sum()


def test_error_policy_lists_transmitters_with_counts() -> None:
    with pytest.raises(DataError, match=r"3 of 4 neurons: peptide \(2\), \(empty\) \(1\).*unknown_transmitter"):
        assign_signs(["ACH", "peptide", "Peptide", ""], "fly-paper")


def test_wrong_names_are_config_errors() -> None:
    with pytest.raises(ConfigError, match=r"sign_rule is 'fly_paper'.*did you mean 'fly-paper'"):
        assign_signs(["ACH"], "fly_paper")
    with pytest.raises(ConfigError, match="unknown_transmitter is 'ignore'"):
        assign_signs(["ACH"], "shiu", unknown="ignore")


def test_own_tables(tmp_path: Path) -> None:
    path = tmp_path / "signs.csv"
    path.write_text("transmitter,sign\nACH,+1\npeptide,-1\n")
    for rule in (path, str(path), {"ach": 1, "Peptide": -1}):
        signs = assign_signs(["acetylcholine", "PEPTIDE"], rule)
        assert signs.values.tolist() == [1, -1]
    assert assign_signs(["ach"], path).rule == str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a sign table"),
        ("transmitter,sign\n", "not a sign table"),
        ("nt,sign\nACH,1\n", "not a sign table"),
        ("transmitter,sign\nACH,0\n", r"must be \+1 or -1"),
        ("transmitter,sign\nACH,1.5\n", r"must be \+1 or -1"),
        ("transmitter,sign\nACH\n", r"must be \+1 or -1"),
        ("transmitter,sign\nACH,1\nacetylcholine,-1\n", "both signs"),
    ],
)
def test_bad_tables_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "signs.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        assign_signs(["ACH"], path)
    assert "signs.csv" in str(caught.value)


def test_bad_mappings_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sign rule"):
        assign_signs(["ACH"], {"ACH": 2})
    with pytest.raises(DataError, match=r"absent\.csv"):
        assign_signs(["ACH"], tmp_path / "absent.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DataError, match=r"binary\.csv"):
        assign_signs(["ACH"], binary)
