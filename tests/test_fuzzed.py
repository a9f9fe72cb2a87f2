"""Strangers' files, a few of each kind; many more in benchmarks/fuzz.py."""

import random

import pytest
from fuzzed import KINDS
from fuzzing import WRONG, fuzzed, outcome

_INPUTS = 20


@pytest.mark.parametrize("name", KINDS)
def test_whatever_the_bytes_reading_ends_well_or_with_an_error_of_ours(name, tmp_path):
    kind = KINDS[name]
    (tmp_path / "whole").mkdir()
    whole = kind.make(tmp_path / "whole")
    for path in whole:
        kind.read(path)
    for seed in range(_INPUTS):
        rng, folder = random.Random(f"{name} {seed}"), tmp_path / f"{seed}"
        folder.mkdir()
        got = outcome(kind, fuzzed(kind, rng.choice(whole), folder, rng))
        assert got.what != WRONG, f"{name}, seed {seed}: {got.said}"
