"""Laws of the errors by group."""

import json

import pytest
from made_runs import leave_out_drawing, make_run, report

from aqa_heads.report.sections.group_errors import _MOST


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_groups_have_the_means_over_seeds_of_error_and_correlation(tmp_path):
    runs = [make_run(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    rows = {row["group"]: row for row in report(tmp_path, *runs).table("groups")}
    found = [json.loads((run / "summary.json").read_text())["per_group"] for run in runs]
    assert rows.keys() == found[0].keys() and rows["01"]["n"] == "9"
    for name in ("mae", "spearman"):
        assert float(rows["02"][name]) == pytest.approx(sum(groups["02"][name] for groups in found) / 2)


def test_an_undefined_correlation_is_an_empty_cell_and_no_dot(tmp_path):
    groups = {"a": {"n": 1, "spearman": None, "mae": 3.0}, "b": {"n": 9, "spearman": 0.5, "mae": 2.0}}
    page = report(tmp_path, make_run(tmp_path / "baseline", summary={"per_group": groups}))
    assert [row["spearman"] for row in page.table("groups")] == ["", "0.5"]


def test_of_many_groups_the_largest_are_shown(tmp_path):
    groups = {f"g{number}": {"n": number, "spearman": 0.1, "mae": 1.0} for number in range(1, _MOST + 6)}
    page = report(tmp_path, make_run(tmp_path / "baseline", summary={"per_group": groups}))
    assert f"Shown are the {_MOST} largest of {_MOST + 5} groups" in page.text
    assert len(page.table("groups")) == _MOST + 5


def test_without_groups_there_is_no_section(tmp_path):
    assert (
        "Group by group"
        not in report(tmp_path, make_run(tmp_path / "baseline", summary={"per_group": {}})).text
    )
