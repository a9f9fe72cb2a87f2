"""Laws of what a report says of intervals around scores."""

import numpy as np
import pytest
from made_runs import leave_out_drawing, make_run, read_table, report, write_table

from aqa_heads.evaluation.conformal import half_width, share_interval


@pytest.fixture
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def calibrated(folder, n=40, spreads=None, folds=1, **options):
    """A run with n held-out samples, whose errors are 1, 2, … n / 4 points."""
    run = make_run(folder, **options)
    place = np.arange(n)
    columns = {
        "sample_id": [f"v{number}" for number in place],
        "fold": place % folds + 1,
        "true": 60 + place / 4 + 0.25,
        "predicted": [60.0] * n,
        "chose_epoch": [1] * n,
        "group": [""] * n,
        "spread": [""] * n if spreads is None else spreads,
    }
    write_table(run / "out_of_fold.csv", columns)
    return run


def test_without_calibration_there_is_no_section(tmp_path, undrawn):
    refitted = calibrated(
        tmp_path / "refitted", config={"refit": True}
    )  # one part: its model learned from it
    runs = [make_run(tmp_path / "plain"), refitted, calibrated(tmp_path / "few", 8)]
    page = report(tmp_path, *runs)
    assert "How sure" not in page.text and not list(tmp_path.glob("*_files/intervals*"))


def test_the_table_has_share_and_width_of_the_intervals_of_the_test_samples(tmp_path, undrawn):
    page = report(tmp_path, calibrated(tmp_path / "baseline"))
    width = half_width(np.arange(1, 41) / 4, 0.9)
    rows = page.table("intervals")
    assert len(rows) == 40
    inside = 0
    for row in rows:
        low, high, true, said = (
            float(row[name]) for name in ("low", "high", "true_score", "predicted_score")
        )
        assert (high - said, said - low) == pytest.approx((width.item(),) * 2)
        inside += low <= true <= high
    ends = [f"{100 * end:.0f}" for end in share_interval(inside, 40)]
    assert f"{100 * (inside / 40):.0f} % ({ends[0]} to {ends[1]} %)" in page.text
    assert "40 calibration samples" in page.text and "82 to 97" in page.text
    assert 2 * width in page.values


def test_seeds_are_averaged_and_folds_have_calibrations_of_their_own(tmp_path, undrawn):
    seeds = [calibrated(tmp_path / f"baseline-seed{seed}", seed=seed) for seed in (0, 1)]
    rows = report(tmp_path, *seeds).table("intervals")
    said = [
        [float(row["predicted_score"]) for row in read_table(run / "predictions.csv")[1:]] for run in seeds
    ]
    assert [float(row["predicted_score"]) for row in rows] == pytest.approx(np.mean(said, axis=0))
    folds = [
        calibrated(tmp_path / f"baseline-fold-{fold}", n, fold=fold, first=100 * number)
        for number, (fold, n) in enumerate((("a", 20), ("b", 40)))
    ]
    page = report(tmp_path, *folds)
    assert "20 to 40 calibration samples" in page.text
    wide = [float(row["high"]) - float(row["low"]) for row in page.table("intervals")]
    assert [round(width, 6) for width in sorted(set(np.round(wide, 6)))] == [9.5, 18.5]


def test_curves_of_risk_where_widths_differ_and_dots_where_there_are_groups(tmp_path):
    spreads = np.linspace(1, 3, 40)
    run = calibrated(tmp_path / "sure", spreads=spreads)
    rows = read_table(run / "predictions.csv")
    for number, row in enumerate(rows):
        row["spread"] = 1 + number / 20
    write_table(run / "predictions.csv", {name: [row[name] for row in rows] for name in rows[0]})
    page = report(tmp_path, run, calibrated(tmp_path / "same", experiment="1"))
    files = {path.name for path in tmp_path.glob("report_files/*.png")}
    assert {"risk_coverage.png", "interval_coverage.png", "interval_widths.png"} <= files
    (by_group,) = [
        value for _, name, value in page.attributes if name == "aria-label" and "Mean width" in value
    ]
    for group in {row["group"] for row in page.table("intervals_by_group")}:
        rows = [row for row in page.table("intervals_by_group") if row["group"] == group]
        low, high = sorted(float(row["mean_width"]) for row in rows)
        assert f"{low:.2f} to {high:.2f}" in by_group.partition(f"{group} (n")[2].partition(";")[0]
    (described,) = [
        value for _, name, value in page.attributes if name == "aria-label" and "narrowest" in value
    ]
    errors = [
        abs(float(row["true_score"]) - float(row["predicted_score"])) for row in page.table("intervals")
    ]
    assert f"{np.mean(errors[:40]):.2f} of all" in described and described.count(" of all") == 1
    assert "samples kept (%)" in page.text


def test_where_all_intervals_are_as_wide_no_widths_are_drawn(tmp_path):
    report(tmp_path, calibrated(tmp_path / "same"))
    files = {path.name for path in tmp_path.glob("report_files/*.png")}
    assert "interval_coverage.png" in files and "interval_widths.png" not in files


def test_coverage_and_width_of_every_group_are_in_a_table(tmp_path, undrawn):
    page = report(tmp_path, calibrated(tmp_path / "baseline"), calibrated(tmp_path / "same", experiment="1"))
    rows = page.table("intervals_by_group")
    of_samples = page.table("intervals")
    assert len({row["row"] for row in rows}) == 2 and len({row["group"] for row in rows}) > 1
    assert sum(int(row["samples"]) for row in rows) == len(of_samples)
    for row in rows:
        own = [one for one in of_samples if (one["row"], one["group"]) == (row["row"], row["group"])]
        low, high, true = (
            np.array([float(one[name]) for one in own]) for name in ("low", "high", "true_score")
        )
        inside = (low <= true) & (true <= high)
        assert float(row["inside"]) == pytest.approx(inside.mean())
        assert float(row["mean_width"]) == pytest.approx((high - low).mean())
        ends = share_interval(int(inside.sum()), len(own))
        assert [float(row[name]) for name in ("inside_low", "inside_high")] == pytest.approx(ends)
