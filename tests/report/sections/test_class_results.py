"""Laws of class accuracies and confusion."""

from collections import Counter

import pytest
from made_runs import leave_out_drawing, make_run, report, rows_of_test


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_confusion_counts_every_test_sample_of_every_seed(tmp_path):
    runs = [make_run(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    page = report(tmp_path, *runs, make_run(tmp_path / "exp1", "1"))
    rows = [row for run in runs for row in rows_of_test(run)]
    expected = Counter((row["class_position"], row["predicted_class_position"]) for row in rows)
    found = {
        (row["true"], row["predicted"]): int(row["count"])
        for row in page.table("confusion_position")
        if row["row"] == "Baseline"
    }
    assert found == expected and sum(found.values()) == 80
    assert "What Baseline (2 seeds) took for what" in page.text and "of all runs" in page.text


def test_a_column_with_too_many_classes_has_a_table_and_no_figure(tmp_path):
    from made_runs import change_tests

    run = change_tests(make_run(tmp_path / "baseline"), "class_position", lambda number: f"c{number}")
    page = report(tmp_path, run)
    assert len({row["true"] for row in page.table("confusion_position")}) == 40
    assert not (tmp_path / "report_files" / "confusion_position.png").exists()
    assert (tmp_path / "report_files" / "confusion_armstand.png").exists()


def test_columns_whose_names_give_one_file_name_have_a_file_each(tmp_path):
    report(tmp_path, make_run(tmp_path / "baseline", classes=("a b", "a-b")))
    names = {file.name for file in (tmp_path / "report_files").iterdir()}
    assert {"confusion_a_b.csv", "confusion_a_b_2.csv", "confusion_a_b.png", "confusion_a_b_2.png"} <= names


def test_what_does_not_rise_above_the_majority_is_told_apart(tmp_path):
    summary = {"class_accuracy": {"position": 0.5}, "majority_accuracy": {"position": 0.5}}
    page = report(tmp_path, make_run(tmp_path / "baseline", summary=summary))
    assert '<span class="below"><data value="0.5">50.0' in page.source
    assert "Class accuracies" not in report(tmp_path, make_run(tmp_path / "ridge", "ridge", classes=())).text
