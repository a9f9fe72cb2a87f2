"""Laws of the comparison of rows on a page."""

import shutil

import pytest
from made_runs import (
    change_tests,
    leave_out_drawing,
    make_end_to_end,
    make_on_tuned,
    make_run,
    report,
    rows_of_test,
)

from aqa_heads.report.families import read_families
from aqa_heads.report.references import reference_row
from aqa_heads.report.report import Report


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_every_row_is_held_against_the_baseline_with_the_interval_of_the_difference(tmp_path):
    runs = [
        make_run(tmp_path / name, name[3:] or name, rho=rho, n=80)
        for name, rho in (("exp1", 0.97), ("exp4", 0.56))
    ]
    runs.append(make_run(tmp_path / "baseline", rho=0.55, n=80))
    page = report(tmp_path, *runs)
    whole = Report.of(read_families(runs))
    baseline, *others = whole.families
    rows = page.table("differences")
    assert [row["row"] for row in rows] == ["Exp 1", "Exp 4"]
    for row, family in zip(rows, others, strict=True):
        made = whole.intervals.difference(family, baseline)
        assert [float(row[name]) for name in ("difference", "low", "high")] == [
            made.value,
            made.low,
            made.high,
        ]
        assert row["reference"] == "Baseline" and row["clear"] == str(made.clear)
        assert made.value in page.values
    assert "Beside Baseline: Exp 1 ranks better; Exp 4 is within noise." in page.text
    assert "differences.png" in {file.name for file in (tmp_path / "report_files").iterdir()}


def test_rows_that_rank_the_same_are_said_to_and_others_are_named_as_not_compared(tmp_path):
    run = make_run(tmp_path / "baseline")
    again = shutil.copytree(run, tmp_path / "again")
    change_tests(
        again, "predicted_score", lambda number: 2 * float(rows_of_test(run)[number]["predicted_score"])
    )
    page = report(tmp_path, run, again, make_run(tmp_path / "exp2", "2", n=30))
    assert "baseline ranks the same" in page.text and "no difference" in page.text
    assert "Not compared, since they were tested on other samples or other scores: Exp 2" in page.text


def test_a_row_that_was_refitted_beside_one_that_was_not_is_said_to_be(tmp_path):
    runs = (
        make_run(tmp_path / "baseline", n=12),
        make_run(tmp_path / "d", "default", config={"refit": True}, n=12),
    )
    page = report(tmp_path, *runs)
    assert "refitted, Baseline not" in page.text
    assert "Of Default model and Baseline only one was trained once more" in page.text
    runs = [
        make_run(tmp_path / "both" / name, name, config={"refit": True}, n=12) for name in ("1", "default")
    ]
    assert "trained once more" not in report(tmp_path, *runs).text


def test_without_a_second_row_there_is_nothing_to_compare(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline", n=12), make_run(tmp_path / "seed1", seed=1, n=12))
    assert "#differences" not in page.source and page.table("differences") == []


def test_the_reference_is_the_baseline_else_the_first_row_with_a_correlation(tmp_path):
    runs = [
        make_run(tmp_path / "e1", "1", n=12, summary={"spearman": None}),
        make_run(tmp_path / "e2", "2", n=12),
    ]
    assert reference_row(Report.of(read_families(runs)).ranked).short == "Exp 2"
    runs.append(make_run(tmp_path / "b", "baseline", n=12))
    assert reference_row(Report.of(read_families(runs)).ranked).short == "Baseline"
    assert reference_row(Report.of(read_families(runs[:1])).ranked) is None


def test_rows_trained_end_to_end_are_held_against_the_baseline_that_was_too(tmp_path):
    runs = [
        make_run(tmp_path / "b"),
        make_run(tmp_path / "e1", "1"),
        make_end_to_end(tmp_path / "tuned"),
        make_end_to_end(tmp_path / "tuned1", "1"),
    ]
    page = report(tmp_path, *runs)
    assert {row["row"]: row["reference"] for row in page.table("differences")} == {
        "Exp 1": "Baseline",
        "Baseline end to end": "Baseline",
        "Exp 1 end to end": "Baseline end to end",
    }
    assert page.text.count(" Beside Baseline") == 2
    assert (
        "Reference: Baseline of Baseline end to end and Exp 1; Baseline end to end of Exp 1 end to end."
        in page.text
    )
    assert "In Baseline end to end and Baseline the backbones differ too" in page.text
    # Without one, the others' baseline, and it is said.
    page = report(tmp_path, *runs[:2], runs[3])
    assert {row["reference"] for row in page.table("differences")} == {"Baseline"}
    assert (
        "Reference: Baseline. Every" in page.text
        and "In Exp 1 end to end and Baseline the backbones" in page.text
    )
    assert "backbones differ" not in report(tmp_path, *runs[2:]).text


def test_rows_on_fine_tuned_features_are_held_against_the_baseline_on_the_same(tmp_path):
    runs = [
        make_run(tmp_path / "b"),
        make_run(tmp_path / "e2", "2"),
        make_on_tuned(tmp_path / "tb"),
        make_on_tuned(tmp_path / "t2", "2"),
        make_on_tuned(tmp_path / "u2", "2", tuned_in="other"),
    ]
    tuned = "on S3D features tuned in exp2-end-to-end"
    page = report(tmp_path, *runs)
    assert {row["row"]: row["reference"] for row in page.table("differences")} == {
        f"Baseline, {tuned}": "Baseline",
        "Exp 2": "Baseline",
        "Exp 2, on S3D features tuned in other": "Baseline",
        f"Exp 2, {tuned}": f"Baseline, {tuned}",
    }
    assert (
        f"In Baseline, {tuned} and Baseline; in Exp 2, on S3D features tuned in other and Baseline the"
        " backbones differ too: only one of the two was fine-tuned before." in page.text
    )
    page = report(tmp_path, runs[2], runs[4], make_end_to_end(tmp_path / "end", "1"))
    assert (
        "In Exp 1 end to end and Baseline the backbones differ too: only one of the two was trained with"
        in page.text
    )


def test_two_rows_that_were_fine_tuned_apart_and_have_no_baseline_are_said_to_be(tmp_path):
    page = report(
        tmp_path, make_on_tuned(tmp_path / "a", "2"), make_on_tuned(tmp_path / "b", "2", tuned_in="other")
    )
    assert "the backbones differ too: they were fine-tuned in different runs." in page.text


def test_too_few_samples_are_no_noise(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "b", n=8), make_run(tmp_path / "e1", "1", n=8))
    assert (
        "Exp 1 cannot be told apart: 8 test samples are fewer than 10." in page.text
        and "is within noise" not in page.text
    )
