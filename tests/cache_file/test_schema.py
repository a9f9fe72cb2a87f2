import re

import h5py
import pytest
from places import DATA, ROOT

from aqa_cache.cache_file.schema import (
    ATTRIBUTES,
    CHECKSUM,
    DATASETS,
    GROUPS,
    TEXT,
    TUNED,
    VIDEO_SHA256,
    column_name,
    dataset_name,
)

SCHEMA = (ROOT / "docs" / "schema.md").read_text()


def table(heading):
    """Every name under a heading of docs/schema.md, with the other cells of its row."""
    part = SCHEMA.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if "`" in line
    ]
    return {name: cells[1:] for cells in rows if len(cells) > 2 for name in re.findall("`([^`]+)`", cells[0])}


def test_the_attributes_are_those_of_the_document():
    assert [*table("Root attributes")] == ["format", "version", *ATTRIBUTES, TUNED, CHECKSUM]


def test_the_datasets_and_their_types_are_those_of_the_document():
    types = {name: tuple(cells[1].split(" or ")) for name, cells in table("Datasets").items()}
    assert types == {**DATASETS, VIDEO_SHA256: TEXT, **{f"{group}/NAME": TEXT for group in GROUPS}}


def test_a_file_of_version_1_has_them_all_and_no_others():
    found = set()
    with h5py.File(DATA / "feature_cache_v1.h5") as file:
        assert file.attrs.keys() - {TUNED, CHECKSUM} == {"format", "version", *ATTRIBUTES}
        file.visititems(lambda name, item: found.add(name) if isinstance(item, h5py.Dataset) else None)
    assert DATASETS.keys() <= found
    assert all(name.startswith(GROUPS) for name in found - DATASETS.keys() - {VIDEO_SHA256})


@pytest.mark.parametrize("column", ["plain", "per 1/2", "..", ".", "50 %", "%2F", "a.b/c%2E"])
def test_a_column_of_any_name_has_a_dataset(column):
    name = dataset_name(column)
    assert column_name(name) == column and not set("./") & set(name)
