"""Laws of Table 1 with results: rows, spreads, floors, ceiling, and what differs from the row of the
paper.
"""

import json

import numpy as np
import pytest
from made_runs import FLOORS, leave_out_drawing, make_run, report


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_seeds_are_one_row_with_mean_spread_and_interval(tmp_path):
    runs = [make_run(tmp_path / f"baseline-seed{seed}", seed=seed) for seed in range(3)]
    page = report(tmp_path, *runs)
    summaries = [json.loads((run / "summary.json").read_text()) for run in runs]
    for name in ("spearman", "kendall", "pearson"):
        values = [summary[name] for summary in summaries]
        assert np.isclose(page.values, np.mean(values), rtol=1e-12).any()
        assert f"±\N{NO-BREAK SPACE}{np.std(values, ddof=1):.3f}" in page.source
    (row,) = [row for row in page.table("results") if row["kind"] == "run"]
    low, high = float(row["spearman_low"]), float(row["spearman_high"])
    assert f"{low:.3f} to {high:.3f}" in page.text and low < float(row["spearman"]) < high
    assert row["seeds"] == "0 1 2" and len(page.table("runs")) == 3
    assert "40 test samples of 5 groups · 3 runs in 1 row · seeds 0, 1 and 2" in page.text
    assert "±: standard deviation over seeds" in page.text.replace(" :", ":")


def test_both_averages_over_folds_are_named(tmp_path):
    runs = [make_run(tmp_path / f"f{k}", fold=f"{k}/3", first=20 * k, n=20) for k in (1, 2, 3)]
    page = report(tmp_path, *runs)
    (row,) = [row for row in page.table("results") if row["kind"] == "run"]
    assert float(row["spearman_fisher_z"]) in page.values and float(row["spearman"]) in page.values
    for needed in (
        "ρ, plain average",
        "ρ, by Fisher z",
        "3 folds",
        "standard deviation over folds",
    ):
        assert needed in page.text
    assert "by Fisher z" not in report(tmp_path, runs[0]).text


def test_a_single_run_has_no_spread(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline"))
    assert ">±\N{NO-BREAK SPACE}" not in page.source
    assert "c3d.h5" in page.text and "40 test samples of 5 groups · 1 run · seed 0" in page.text


def test_a_floor_that_differs_with_the_training_samples_is_one_row_with_the_highest(tmp_path):
    runs = [
        make_run(
            tmp_path / name,
            experiment,
            summary={"floors": FLOORS | {"class_mean": FLOORS["class_mean"] | {"spearman": rho}}},
        )
        for name, experiment, rho in (("baseline", "baseline", 0.3101), ("ridge", "ridge", 0.3502))
    ]
    page = report(tmp_path, *runs)
    assert 0.3502 in page.values and 0.3101 not in page.values and "lowest 0.310" in page.text
    assert "the highest of their floors counts" in page.text
    assert [row["row"] for row in page.table("results") if row["kind"] == "floor"] == list(FLOORS)


def test_the_ceiling_is_a_row_and_a_sentence(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline"))
    assert 0.961 in page.values and "0.952 to 0.973" in page.text
    assert "One judge agrees with the others at 0.961" in page.text
    page = report(tmp_path, make_run(tmp_path / "exp1", "1", summary={"ceiling": None}))
    assert "One judge" not in page.text.split(" Audit 1 ")[0].split("Glossary", 1)[1].split("Audit")[0]


def test_row_that_is_not_quite_the_papers_says_why_in_every_table(tmp_path):
    config = {
        "label": "Exp 7 (rnn lstm, on S3D features)",
        "rnn": "lstm",
        "features": {"backbone": "s3d", "fingerprint": "0f" * 32},
    }
    runs = make_run(tmp_path / "exp7-rnn-lstm-on-s3d", "7", config=config), make_run(tmp_path / "baseline")
    page = report(tmp_path, *runs)
    for needed in ("Table\N{NO-BREAK SPACE}1: C3D", "Table\N{NO-BREAK SPACE}1: GRU"):
        assert needed in page.source
    # results, further metrics, every row, differences, classes, captions
    assert page.source.count('<span class="aside">rnn lstm, on S3D features</span>') == 6


def test_sizes_and_seeds_stand_in_a_row_only_where_they_differ(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline"), make_run(tmp_path / "exp1", "1", n=12, seed=3))
    assert "n 12, seed 3" in page.text and "n 40, seed 0" in page.text
    page = report(tmp_path, make_run(tmp_path / "exp2", "2", n=12, seed=3), tmp_path / "exp1")
    assert "n 12, seed 3" not in page.text


def test_samples_without_a_score_are_counted(tmp_path):
    from made_runs import change_tests

    run = change_tests(
        make_run(tmp_path / "baseline"), "final_score", lambda number: 60 + number if number > 9 else ""
    )
    assert "30 of 40 have a score" in report(tmp_path, run).text


def test_spreads_are_shown_where_a_head_has_them(tmp_path):
    said = [{"n": 40, "crps": crps, "coverage_90": 0.85, "width_90": 21.5} for crps in (3.25, 4.25)]
    runs = [
        make_run(tmp_path / f"baseline-seed{seed}", seed=seed, summary={"uncertainty": found})
        for seed, found in enumerate(said)
    ]
    other = make_run(tmp_path / "exp4", "4")
    page = report(tmp_path, *runs, other)
    for needed in ("CRPS (points)", "Its width (points)", "3.750", "85.0 %", "21.500"):
        assert needed in page.text
    rows = {row["experiment"]: row for row in page.table("results") if row["kind"] == "run"}
    assert [rows["baseline"][name] for name in ("crps", "coverage_90", "width_90")] == [
        "3.75",
        "0.85",
        "21.5",
    ]
    assert rows["4"]["crps"] == "" and [row["crps"] for row in page.table("runs")] == ["3.25", "4.25", ""]
    assert "CRPS" not in report(tmp_path, other).text
