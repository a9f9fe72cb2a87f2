"""Laws of the weights of clips."""

import pytest
from made_runs import leave_out_drawing, make_run, report, write_table


def with_weights(run, clips):
    """Weights of 1 to `clips(number)` clips per test sample, and of a training sample."""
    names = ["trained", *(f"01_{number:04d}" for number in range(9))]
    rows = [
        (name, clip, (clip + 1) / sum(range(1, clips(number) + 1)))
        for number, name in enumerate(names)
        for clip in range(clips(number))
    ]
    write_table(
        run / "contributions.csv",
        dict(zip(("sample_id", "clip", "weight"), zip(*rows, strict=True), strict=True)),
    )
    return run


def test_weights_are_means_over_seeds_of_the_test_samples_and_count_clips_as_the_run_does(
    tmp_path, monkeypatch
):
    leave_out_drawing(monkeypatch)
    runs = [with_weights(make_run(tmp_path / str(seed), seed=seed, n=9), lambda _: 3) for seed in (0, 1)]
    rows = report(tmp_path, *runs).table("contributions")
    assert (
        [row["clip"] for row in rows[:3]] == ["0", "1", "2"]
        and len(rows) == 27
        and "trained" not in str(rows)
    )
    assert [float(row["weight"]) for row in rows[:3]] == pytest.approx([1 / 6, 2 / 6, 3 / 6])


def test_samples_of_any_number_of_clips_are_drawn(tmp_path):
    run = with_weights(
        make_run(tmp_path / "baseline", n=9, captions=False, classes=()), lambda number: 1 + 30 * number
    )
    page = report(tmp_path, run)
    assert "Which clips count" in page.text
    assert (tmp_path / "report_files" / "contributions_baseline.png").stat().st_size > 5000


def test_without_weights_there_is_no_section(tmp_path, monkeypatch):
    leave_out_drawing(monkeypatch)
    assert "Which clips count" not in report(tmp_path, make_run(tmp_path / "baseline", n=9)).text
