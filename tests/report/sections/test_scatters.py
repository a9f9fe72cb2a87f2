"""Laws of predicted over true scores."""

from made_runs import change_tests, leave_out_drawing, make_run, report


def test_scores_far_off_lie_on_the_edge_and_are_counted(tmp_path, monkeypatch):
    leave_out_drawing(monkeypatch)
    run = change_tests(
        make_run(tmp_path / "baseline"), "predicted_score", lambda number: 60 if number else 1e9
    )
    assert "1 beyond the axes" in report(tmp_path, run).text


def test_the_table_has_every_test_sample_of_every_run(tmp_path, monkeypatch):
    leave_out_drawing(monkeypatch)
    runs = [make_run(tmp_path / str(seed), seed=seed, n=12) for seed in (0, 1)]
    rows = report(tmp_path, *runs).table("scatter")
    assert [(row["seed"], row["sample_id"]) for row in rows[::11]] == [
        ("0", "01_0000"),
        ("0", "02_0011"),
        ("1", "02_0010"),
    ]
    assert {row["split"] if "split" in row else "test" for row in rows} == {"test"} and "trained" not in str(
        rows
    )
