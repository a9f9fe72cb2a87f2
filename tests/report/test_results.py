"""Laws of what a report reads: cells become numbers once, and what is not recorded is nothing."""

import numpy as np
import pytest
from made_runs import change_tests, make_run

from aqa_heads.errors import RunError
from aqa_heads.report.prediction_table import PredictionTable
from aqa_heads.report.records import Ceiling, Features, FloorMetrics, filled
from aqa_heads.report.results import find_runs, read_result


def test_predictions_are_columns_of_the_test_samples(tmp_path):
    run = make_run(tmp_path / "baseline", n=12)
    change_tests(run, "final_score", lambda number: "" if number == 0 else number)
    change_tests(run, "predicted_score", lambda number: "" if number == 1 else 2 * number)
    result = read_result(run)
    rows = [row for row in result.run.predictions if row["split"] == "test"]
    table = result.test
    assert list(table.sample_ids) == [row["sample_id"] for row in rows] and len(table) == 12
    np.testing.assert_array_equal(table.true, [np.nan, *range(1, 12)])
    np.testing.assert_array_equal(table.predicted, [0, np.nan, *range(4, 24, 2)])
    assert table.scored.tolist() == [False, False, *[True] * 10]
    assert list(result.scored) == list(table.sample_ids[2:])
    assert table.classes["position"] == tuple(row["class_position"] for row in rows)
    assert table.predicted_captions == tuple(row["predicted_caption"] for row in rows)


def test_a_run_without_test_samples_has_empty_columns():
    table = PredictionTable.of([])
    assert len(table) == 0 and table.true.shape == (0,) and table.captions is None and not table.scored.any()


def test_records_have_what_was_recorded_and_defined():
    assert filled(Ceiling, None) == Ceiling() == filled(Ceiling, {"spearman": float("nan"), "of": 3})
    assert filled(FloorMetrics, {"n": 4, "mae": None}) == FloorMetrics(n=4.0)
    features = Features.of({"views": ["flip"], "tuned": {"origin": "a", "trained_on": 3}})
    assert features.views == ("flip",) and features.tuned.trained_on == 3
    assert Features.of({"tuned": {}}).tuned is None


def test_a_run_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    for name in ("ridge-fold-1-5", "default-fold-1-5"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    with pytest.raises(RunError, match="default: does not exist; in .* are default-fold-1-5, ridge-fold-1-5"):
        find_runs([tmp_path / "default"])
    with pytest.raises(RunError, match=r"none.run: does not exist\n"):
        find_runs([tmp_path / "none" / "run"])


def test_predictions_of_another_program_in_a_folder_of_runs_say_how_they_are_named(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "predictions.csv").touch()
    with pytest.raises(RunError, match="named by their file: .*theirs.predictions.csv"):
        find_runs([tmp_path])
