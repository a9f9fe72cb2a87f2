"""Laws of what a report says of captions."""

import pytest
from made_runs import change_tests, leave_out_drawing, make_run, report, rows_of_test, write_table


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_captions_of_up_to_three_rows_are_shown_beside_the_reference_and_cut(tmp_path):
    runs = [make_run(tmp_path / name, name, words=50) for name in ("baseline", "1", "2", "4")]
    page = report(tmp_path, *runs)
    lowest = min(rows_of_test(runs[0]), key=lambda row: float(row["final_score"]))
    assert lowest["sample_id"] in page.text
    for caption in (lowest["caption"], lowest["predicted_caption"]):
        assert " ".join(caption.split()[:40]) + " … (5" in page.text
        assert caption not in page.text
    assert "Exp 2: 40 of 40" in page.text
    assert len(page.table("predicted_captions")) == 160 and lowest["caption"] in str(
        page.table("predicted_captions")
    )


def test_metrics_stand_beside_the_loss_of_word_frequencies(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline"))
    assert {0.21, 0.11, 0.05, 0.02, 0.19, 0.07, 3.9, 4.8} <= set(page.values)
    assert "not computed" in page.text and "METEOR not computed: Java is not installed" in page.text
    assert "have learned which words are frequent" not in page.text
    (row,) = page.table("captions")
    assert (row["bleu_1"], row["meteor"], row["unigram_loss"]) == ("0.21", "", "4.8")


def test_a_captioner_that_learned_only_word_frequencies_is_said_to(tmp_path):
    runs = (
        make_run(tmp_path / "exp4", "4", summary={"caption_loss_per_token": 4.9}),
        make_run(tmp_path / "baseline"),
    )
    assert "The loss of Exp 4 is not below that of word frequencies alone" in report(tmp_path, *runs).text


def test_caption_metrics_are_means_over_seeds(tmp_path):
    captions = [dict.fromkeys(("bleu_1", "meteor"), value) | {"notes": []} for value in (0.2, 0.4)]
    runs = [
        make_run(tmp_path / str(seed), seed=seed, summary={"captions": captions[seed]}) for seed in (0, 1)
    ]
    page = report(tmp_path, *runs)
    assert (
        float(page.table("captions")[0]["meteor"]) == pytest.approx(0.3)
        and "±\N{NO-BREAK SPACE}0.141" in page.source
    )


def test_empty_captions_are_counted_and_shown(tmp_path):
    run = change_tests(
        make_run(tmp_path / "baseline"), "predicted_caption", lambda number: "a dive" * (number < 30)
    )
    assert "Baseline: 2 of 40 (10 of them empty)" in report(tmp_path, run).text
    text = report(tmp_path, change_tests(run, "predicted_caption", lambda _: "")).text
    assert "Baseline: 1 of 40 (40 of them empty)" in text and "(empty)" in text


def test_captions_are_shown_by_score_only_of_samples_that_have_one(tmp_path):
    run = make_run(tmp_path / "baseline", n=6)
    change_tests(run, "caption", lambda number: f"reference{number}")
    change_tests(run, "final_score", lambda number: 60 + number if number else "")
    text = report(tmp_path, run).text
    assert "lowest to the highest true score" in text and "reference1" in text and "reference0" not in text
    text = report(tmp_path, change_tests(run, "final_score", lambda _: "")).text
    assert "spread evenly by their names" in text and "reference0" in text


def test_attention_is_shown_for_the_lowest_and_the_highest_score(tmp_path):
    run = make_run(tmp_path / "exp1", "1")
    rows = sorted(rows_of_test(run), key=lambda row: float(row["final_score"]))
    weights = [
        (row["sample_id"], place, word, clip, 0.25 * (clip + 1))
        for row in rows
        for place, word in enumerate(("a", "a", "dive"))
        for clip in range(3)
    ]
    names = ("sample_id", "word_number", "word", "clip", "weight")
    write_table(run / "caption_attention.csv", dict(zip(names, zip(*weights, strict=True), strict=True)))
    page = report(tmp_path, run)
    files = {file.name for file in (tmp_path / "report_files").iterdir() if file.name.startswith("attention")}
    files = {name for name in files if name.endswith(".png")}
    assert files == {f"attention_{row['sample_id']}.png" for row in (rows[0], rows[-1])}
    assert "Where Exp 1 looked at each word" in page.text and len(page.table("caption_attention")) == 40 * 9
    assert page.table("caption_attention")[0]["clip"] == "0"


def test_without_captions_there_is_no_section(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline", captions=False))
    assert "#captions" not in page.source and "captions" not in page.ids
