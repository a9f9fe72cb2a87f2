"""Laws of the answer: it claims no more than the test samples carry."""

import shutil

import pytest
from made_runs import CEILING, FLOORS, change_tests, leave_out_drawing, make_run, report

from aqa_heads.report.answer import answer
from aqa_heads.report.families import read_families
from aqa_heads.report.report import Report

LOW_FLOORS = {name: floor | {"spearman": -0.24} for name, floor in FLOORS.items()}


def said(*runs):
    return " ".join(answer(Report.of(read_families(runs))))


def test_a_model_that_no_interval_lifts_above_the_highest_floor_is_told_apart_from_none(tmp_path):
    runs = [make_run(tmp_path / name, name, rho=0.6) for name in ("baseline", "1")]
    assert said(*runs).startswith(
        "No model is told apart from difficulty × group on these 40 samples. Highest: "
    )
    assert said(runs[0]).startswith("Baseline is not told apart from difficulty × group on these 40 samples.")


def test_what_lies_above_with_its_whole_interval_is_named_with_the_number(tmp_path):
    runs = [make_run(tmp_path / "4", "4", rho=0.97), make_run(tmp_path / "baseline", rho=0.1)]
    text = said(*runs)
    assert text.startswith(
        "Exp 4 ranks these 40 samples better than difficulty × group. Highest: Exp 4, ρ = "
    )
    assert (
        "Without the video, difficulty × group reaches 0.668. One judge agrees with the others at 0.961."
        in text
    )


def test_a_floor_below_chance_is_not_what_a_model_is_held_against(tmp_path):
    """ρ = -.03 lies above a floor of -.24, which says nothing."""
    run = make_run(tmp_path / "baseline", rho=-0.03, summary={"floors": LOW_FLOORS})
    change_tests(run, "group", lambda _: "")
    assert said(run).startswith("Baseline is not told apart from chance on these 40 samples.")


def test_below_ten_samples_no_order_is_claimed_and_n_is_said(tmp_path):
    runs = [
        make_run(tmp_path / name, name, n=4, epochs=0, rho=rho)
        for name, rho in (("baseline", -1), ("1", 0.9))
    ]
    assert said(*runs) == "No order of the models is claimed: 4 test samples are too few to rank models."
    assert "on 4 test samples says little: 4 test samples are too few" in said(runs[0])
    assert "Highest" not in said(*runs)


@pytest.fixture
def folds(tmp_path, monkeypatch):
    """Thirty samples in ten folds, of which no interval can be drawn."""
    leave_out_drawing(monkeypatch)
    return [
        make_run(tmp_path / f"f{k}", fold=f"{k}/10", first=3 * k, n=3, epochs=0, rho=0.5)
        for k in range(1, 11)
    ]


def test_folds_that_are_too_small_are_the_reason_and_no_bars_are_promised(folds, tmp_path):
    page = report(tmp_path, *folds)
    assert "ρ = " in page.text and "folds of 3 samples are too small for an interval" in page.text
    caption = page.text[page.text.index("of every model (dot)") :][:300]
    assert "(bar" not in caption and "thin line: ± standard deviation over folds" in caption


def test_a_spread_that_is_cut_is_said(tmp_path, monkeypatch):
    leave_out_drawing(monkeypatch)
    runs = [
        make_run(tmp_path / f"f{k}", fold=f"{k}/3", first=3 * k, n=3, epochs=0, rho=rho)
        for k, rho in enumerate((-1, 1, 1), 1)
    ]
    assert "standard deviation over folds, cut where ρ ends (±1)" in report(tmp_path, *runs).text


def test_other_test_samples_are_not_ranked(tmp_path):
    runs = [make_run(tmp_path / "baseline", n=40), make_run(tmp_path / "1", "1", n=30)]
    assert said(*runs) == (
        "These 2 models were tested on different samples, so none is called better than another."
    )
    other = change_tests(make_run(tmp_path / "2", "2"), "final_score", lambda number: 50 + number)
    assert "have different true scores" in said(runs[0], other)


def test_without_scores_the_classes_are_the_answer(tmp_path):
    run = make_run(tmp_path / "baseline", classes=("position",), summary={"spearman": None})
    change_tests(run, "final_score", lambda _: "")
    assert "No run has a correlation" in said(run) and "names classes correctly: position" in said(run)


def test_rows_that_predict_the_same_to_the_bit_are_one_that_names_them_all(tmp_path, monkeypatch):
    leave_out_drawing(monkeypatch)
    run = make_run(tmp_path / "baseline", n=20, summary={"ceiling": CEILING})
    for name in ("1", "2", "4"):
        copy = shutil.copytree(run, tmp_path / f"exp{name}")
        text = (copy / "config.json").read_text()
        text = text.replace('"experiment": "baseline"', f'"experiment": "{name}"')
        (copy / "config.json").write_text(text.replace('"label": "Baseline"', f'"label": "Exp {name}"'))
    page = report(tmp_path, *sorted(p for p in tmp_path.iterdir() if p.is_dir() and p.name != "report_files"))
    assert "Baseline, Exp 1 and 2 and Exp 4: the same scores to the bit, so one row." in page.text
    assert "On cached features the captioner trains nothing" in page.text
    assert page.source.count("</span>Baseline, Exp 1 and 2 and Exp 4") >= 1
    assert len([row for row in page.table("results") if row["kind"] == "run"]) == 4
    assert page.table("differences") == []
