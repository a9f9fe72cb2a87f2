"""Laws of what a report warns of and explains."""

import shutil

import pytest
from made_runs import (
    AUDIT,
    LEAK,
    change_tests,
    leave_out_drawing,
    make_end_to_end,
    make_on_tuned,
    make_run,
    report,
)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_random_weights_are_said_on_top(tmp_path):
    features = {"backbone": "s3d", "weights": "random-0", "weights_random": True, "fingerprint": "ab" * 32}
    page = report(
        tmp_path, make_run(tmp_path / "exp2", "2", config={"features": features}), preface=["Hello."]
    )
    assert page.text.index("Features come from random weights") < page.text.index("Hello.")
    assert "not what the models can do" in page.text
    both = report(tmp_path, tmp_path / "exp2", make_run(tmp_path / "baseline"))
    assert "Features of Exp 2 come from random weights" in both.text


def test_a_leaked_test_is_said_on_top_in_the_row_and_below_the_table(tmp_path):
    config = {"leaked": 36, "label": "Baseline, LEAKED TEST"}
    page = report(
        tmp_path,
        make_run(tmp_path / "baseline", config=config),
        make_run(tmp_path / "exp1", "1"),
        preface=["Hello."],
    )
    assert page.text.index("LEAKED TEST: 36 test samples of Baseline are") < page.text.index("Hello.")
    assert page.source.count('<span class="aside">LEAKED TEST</span>') == 5
    assert {row["row"]: row["leaked"] for row in page.table("results") if row["kind"] == "run"} == {
        "Baseline": "36",
        "Exp 1": "0",
    }
    assert "LEAKED" not in report(tmp_path, tmp_path / "exp1").text


def test_a_leak_of_the_backbone_is_called_what_it_is(tmp_path):
    leaks = [LEAK | {"why": "the backbone was fine-tuned on it", "other": LEAK["sample_id"]}]
    leaking = {"config": {"leaked": 1}, "summary": {"audit": AUDIT | {"leaks": leaks}}}
    page = report(tmp_path, make_on_tuned(tmp_path / "2", "2", **leaking))
    assert (
        "1 test samples of Exp 2 are known to the backbone, which learned from them before. None" in page.text
    )
    assert (
        "1 of 40 test samples is, by sample_id, among those that the backbone was fine-tuned on: t1"
        in page.text
    )


def test_rows_on_features_of_a_fine_tuned_backbone_are_told_apart(tmp_path):
    runs = [
        make_run(tmp_path / "exp2", "2"),
        make_on_tuned(tmp_path / "on", "2"),
        make_on_tuned(tmp_path / "other", "2", tuned_in="exp7-end-to-end"),
    ]
    page = report(tmp_path, *runs)
    assert "on exp2-end-to- (S3D tuned in exp2-end-to-end);" in page.text
    assert (
        "on S3D features tuned in exp7-end-to-end" in page.text
        and "S3D tuned in exp2-end-to-end, GRU" in page.text
    )
    assert (
        "Weights exp2-end-to-end, fine-tuned from sports1m; on 90 samples, an epoch chosen on 20" in page.text
    )
    assert "random weights" not in page.text
    random = report(tmp_path, runs[0], make_on_tuned(tmp_path / "random", "2", origin="random (seed 0)"))
    assert (
        "The backbone of Exp 2, on S3D features tuned in exp2-end-to-end started from random weights: all"
        in random.text
    )
    assert "never trained" not in random.text


def test_a_leak_in_one_seed_marks_the_row(tmp_path):
    runs = [
        make_run(tmp_path / "0"),
        make_run(tmp_path / "1", seed=1, config={"leaked": 2, "label": "Baseline, LEAKED TEST"}),
    ]
    page = report(tmp_path, *runs)
    assert "2 runs in 1 row" in page.text and "2 test samples of Baseline " in page.text


def test_mixed_difficulties_and_protocols_are_said(tmp_path):
    runs = [
        make_run(tmp_path / "baseline"),
        make_run(
            tmp_path / "told", config={"difficulty": "multiply", "label": "Baseline (execution × difficulty)"}
        ),
        make_run(tmp_path / "exp1", "1", protocol="paper"),
    ]
    page = report(tmp_path, *runs)
    assert (
        "different protocols. honest: Baseline and Baseline, execution × difficulty; paper: Exp 1."
        in page.text
    )
    assert (
        "some are told the difficulty of the test samples, others not. Baseline and Exp 1: predict the final"
        in page.text
    )
    assert (
        "Best on the test set : the highest ρ of any epoch" in page.text
        and "Exp 1 0.750 (epoch 2)" in page.text
    )
    page = report(tmp_path, runs[0])
    for absent in ("different protocols", "told the difficulty", "Best on the test set"):
        assert absent not in page.text


def test_rows_that_do_not_compare_are_said(tmp_path):
    page = report(
        tmp_path, make_run(tmp_path / "exp2", "2"), make_run(tmp_path / "exp4", "4"), make_run(tmp_path / "b")
    )
    assert "the runs read different features. Baseline and Exp 4 on c3dc3dc3dc3d" in page.text
    assert "tested on different samples" not in page.text
    page = report(tmp_path, tmp_path / "b", make_run(tmp_path / "exp1", "1", n=12))
    assert "tested on different samples. Baseline on 40 samples; Exp 1 on 12 samples" in page.text
    assert "different features" not in page.text


def test_test_samples_with_other_scores_are_said(tmp_path):
    changed = change_tests(make_run(tmp_path / "exp1", "1"), "final_score", lambda number: 50 + number)
    page = report(tmp_path, make_run(tmp_path / "baseline"), changed)
    assert "the test samples have different true scores in them. Baseline; Exp 1." in page.text


def test_files_of_different_runs_are_said(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline", summary={"spearman": 0.1}))
    assert "the two files are not of one run" in page.text


def test_files_of_different_runs_are_said_where_one_of_them_has_no_correlation(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline", summary={"spearman": None}))
    assert "summary.json says an undefined ρ but predictions.csv gives ρ = " in page.text
    page = report(tmp_path, change_tests(make_run(tmp_path / "exp1", "1"), "predicted_score", lambda _: 5))
    assert "but predictions.csv gives an undefined ρ; the two files are not of one run" in page.text
    page = report(tmp_path, make_run(tmp_path / "exp2", "2", n=0))
    assert "not of one run" not in page.text


def test_groups_of_the_test_samples_are_said_beside_the_interval(tmp_path):
    run = make_run(tmp_path / "baseline")
    page = report(tmp_path, run)
    assert "(bar, from drawing whole groups, of 5, somewhat too narrow with fewer than 30)" in page.text
    page = report(tmp_path, change_tests(run, "group", lambda number: f"{number % 4}"))
    assert "(bar, from drawing samples of 4 groups)" in page.text
    page = report(tmp_path, change_tests(run, "group", lambda _: ""))
    assert "(bar, from drawing samples)" in page.text


def test_runs_that_predict_the_same_scores_are_one_row_each_said_in_one_sentence(tmp_path):
    run, other = make_run(tmp_path / "baseline"), make_run(tmp_path / "exp6", "6")
    copies = [shutil.copytree(run, tmp_path / "again"), shutil.copytree(other, tmp_path / "more")]
    page = report(tmp_path, run, other, *copies, make_run(tmp_path / "exp7", "7", rho=0.1))
    assert "again and baseline and exp6 and more: the same scores to the bit, so one row." in page.text
    assert page.text.count("On cached features the captioner trains nothing") == 1


def test_the_highest_correlation_is_named_beside_the_highest_floor(tmp_path):
    run = make_run(tmp_path / "baseline", rho=0.95)
    page = report(
        tmp_path, run, shutil.copytree(run, tmp_path / "again"), make_run(tmp_path / "exp7", "7", rho=0.1)
    )
    assert "Highest: again and baseline, ρ = " in page.text
    assert (
        "again and baseline rank these 40 samples better than difficulty × group." in page.text
        and "Without the video, difficulty × group reaches 0.668." in page.text
    )


def test_missing_folds_are_said(tmp_path):
    runs = [make_run(tmp_path / f"f{k}", fold=f"{k}/3", first=20 * k, n=20) for k in (1, 2, 3)]
    assert "of 3 folds" not in report(tmp_path, *runs).text
    assert (
        "Baseline has 2 of 3 folds: its average is not that of all samples."
        in report(tmp_path, *runs[:2]).text
    )


def test_what_holds_of_cached_features_alone_is_not_said_of_runs_that_trained_the_backbone(tmp_path):
    own = {"direct": True, "literal": False}
    tuned = make_end_to_end(tmp_path / "tuned", config=own)
    page = report(tmp_path, tuned, shutil.copytree(tuned, tmp_path / "again"))
    assert "the same scores to the bit" in page.text
    assert "cached features" not in page.text and "directly comparable" not in page.text
    assert (
        "Seconds: the whole run end to end, without the decoding of the videos, which is done once."
        in page.text
    )
    assert "The backbone was trained too, but for frozen layers." in page.text
    assert "both by the features from before the backbone was trained. --literal" in page.text

    page = report(tmp_path, tuned, make_run(tmp_path / "baseline", config=own))
    assert (
        "some trained the backbone too, others read features of one that was not trained with them."
        in page.text
    )
    assert "Baseline on c3dc3dc3dc3d (C3D); Baseline end to end with C3D trained from sports1m." in page.text
    assert "the whole run on cached features, without their extraction; the whole run end to end" in page.text
    assert "The backbone was trained too in Baseline end to end, but for frozen layers." in page.text
    assert "Settings of Baseline: not trained as in the paper" in page.text
    assert "Settings of Baseline end to end: not trained as in the paper" in page.text


def test_equal_rows_on_cached_features_are_explained_beside_equal_rows_that_are_not(tmp_path):
    run, tuned = make_run(tmp_path / "baseline"), make_end_to_end(tmp_path / "tuned", "6")
    copies = [shutil.copytree(run, tmp_path / "again"), shutil.copytree(tuned, tmp_path / "more")]
    assert (
        report(tmp_path, run, tuned, *copies).text.count("On cached features the captioner trains nothing")
        == 1
    )
    # One row on cached features is equal to none other on them.
    assert "On cached features the captioner" not in report(tmp_path, run, tuned, copies[1]).text


def test_backbones_that_started_from_other_weights_are_said(tmp_path):
    other = {"started_from": "mine", "started_sha256": "ef" * 32}
    page = report(
        tmp_path, make_end_to_end(tmp_path / "b"), make_end_to_end(tmp_path / "exp1", "1", tuning=other)
    )
    assert (
        "the runs started from different backbones. Baseline end to end with C3D trained from sports1m; Exp 1"
        " end to end with C3D trained from mine." in page.text
    )


def test_a_backbone_trained_from_random_weights_is_not_said_to_be_untrained(tmp_path):
    tuned = make_end_to_end(tmp_path / "tuned", tuning={"started_from": "random-0"})
    page = report(tmp_path, tuned)
    assert (
        "The backbone started from random weights: all it knows" in page.text
        and "never trained" not in page.text
    )
    features = {"backbone": "c3d", "weights": "random-0", "weights_random": True, "fingerprint": "ab" * 32}
    page = report(tmp_path, tuned, make_run(tmp_path / "b", config={"features": features}))
    assert "The backbone of Baseline end to end started from random" in page.text
    assert "Features of Baseline come from random weights" in page.text
    again = make_end_to_end(
        tmp_path / "again", tuning={"started_from": "exp2-end-to-end", "origin": "random-0"}
    )
    assert "The backbone started from random weights: all it knows" in report(tmp_path, again).text
    # The cache named the samples only.
    page = report(tmp_path, make_end_to_end(tmp_path / "given", config={"features": features}))
    assert "random weights" not in page.text
