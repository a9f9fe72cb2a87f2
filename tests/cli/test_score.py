"""aqa-score: what it prints and writes."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scored_table import scored, table_of
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cli.score import main
from aqa_cli.score_shown import bar, show
from aqa_heads import Score, TrainingConfig, train
from aqa_heads.evaluation.calibration import Calibration
from aqa_heads.scoring.comparison import compare
from aqa_heads.scoring.results import Judge, Panel, ScoreTable
from aqa_heads.scoring.writing import write_scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    write_synthetic_cache(folder / "feats.h5", failed=(17,))
    with small_models():
        train(
            TrainingConfig(
                folder / "feats.h5", "baseline", epochs=1, device="cpu", meteor=False, out=folder, name="run"
            )
        )
    return folder


def run(*words):
    with small_models():
        return CliRunner().invoke(main, list(map(str, words)))


def test_cached_samples_are_ranked_and_written(folder, tmp_path):
    result = run(folder / "run", "--features", folder / "feats.h5", "-o", tmp_path / "out")
    assert result.exit_code == 1 and "video is truncated" in result.stderr, result.output
    with open(tmp_path / "out/scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    record = json.loads((tmp_path / "out/scores.json").read_text())
    points = [float(row["points"]) for row in rows[:-1]]
    assert len(rows) == 18 and points == sorted(points, reverse=True)
    assert rows[-1]["sample_id"] == "s17" and "truncated" in rows[-1]["failed"] and not rows[-1]["points"]
    assert [score["points"] for score in record["scores"]] == points
    assert record["failures"][0]["sample_id"] == "s17"
    one = record["scores"][0]
    made = one["contributions"]
    assert sum(clip["points"] for clip in made["clips"]) + made["remainder"] == pytest.approx(one["points"])
    assert rows[0]["neighbours"].split("; ") == [near["sample"]["sample_id"] for near in one["neighbours"]]
    assert rows[0]["class_position"] == next(iter(one["classes"]["position"]))
    assert "no interval" in result.stdout and rows[0]["sample_id"] in result.stdout
    again = run(folder / "run", "--features", folder / "feats.h5", "-o", tmp_path / "out")
    assert again.exit_code == 1 and again.stdout == result.stdout


def test_files_of_others_are_not_replaced(folder, tmp_path):
    (tmp_path / "scores.csv").write_text("mine")
    result = run(folder / "run", "--features", folder / "feats.h5", "-o", tmp_path)
    assert result.exit_code == 2 and "is there and holds no scores" in result.stderr
    assert (tmp_path / "scores.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to score; name videos"),
        (["--features", "no.h5"], "no.h5: no such file"),
        (["no.mp4"], "was trained on imported features"),
    ],
)
def test_a_mistake_is_one_message(folder, words, message):
    result = run(folder / "run", *words)
    assert result.exit_code == 2 and message in result.stderr and "Traceback" not in result.output


def test_an_interval_is_a_bar_on_the_scale():
    drawn = bar(25, 50, 75, (0, 100))
    assert len(drawn) == 24 and drawn.index("●") == 12
    assert drawn.index("─") == 6 and drawn.rindex("─") == 17 and drawn[0] == drawn[-1] == "·"
    assert bar(-10, 50, 200, (0, 100)).count("·") == 0 and bar(3, 3, 3, (3, 3)).count("●") == 1


def test_an_interval_is_shown_and_written_where_there_is_one(tmp_path, capsys):
    score = Score("a", "v.mp4", (0, 50), 50.0, 2.0, interval=(40.0, 61.5), interval_note="90 %")
    table = ScoreTable([score], (), (), (0.0, 100.0))
    show(table)
    said = capsys.readouterr().out
    assert "40.0 to 61.5" in said and "─●─" in said and "90 %" in said
    path, _ = write_scores(table, tmp_path)
    with open(path, newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["interval_low"], row["interval_high"]) == ("40.0", "61.5")


def test_the_marks_of_judges_are_shown_and_written(tmp_path, capsys):
    judges = (Judge(1, 7.0, -1.0, 75.0), Judge(3, 8.0, 1.0, 69.0))
    panel = Panel(judges, "the mean of all 2 marks, times the difficulty", 72.0, 6.5, 1, 0.25)
    with_marks = Score("a", "v.mp4", (0, 50), 60.0, panel=panel)
    unknown = Panel(tuple(replace(judge, points_without=None) for judge in judges), "", None, None, 3, None)
    scores = [with_marks, Score("b", "v.mp4", None, 50.0), replace(with_marks, sample_id="c", panel=unknown)]
    table = ScoreTable(scores, ())
    show(table)
    said = capsys.readouterr().out
    assert (
        "the judges' marks: 1: 7, 3: 8" in said and "all 2 marks, times the difficulty: 72.00 points" in said
    )
    assert "that of a mark of 6.50 by each" in said and "which rule they make a score is not known" in said
    assert "judge 1, 1.00 below their mean, as far as in 25% of training panels" in said
    assert "with their mean in its place: 75.00 points" in said and "1: -1.0" in said
    path, record = write_scores(table, tmp_path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["judge_1"] for row in rows] == ["7.0", "", "7.0"] and rows[0]["judge_2"] == ""
    assert rows[0]["panel_points"] == "72.0" and rows[0]["points_without_furthest_judge"] == "75.0"
    assert [row["furthest_judge"] for row in rows] == ["1", "", "3"]
    assert json.loads(record.read_text())["scores"][0]["panel"]["judges"][1]["mark"] == 8.0


def test_pages_are_written_unless_they_are_not_wanted(folder, tmp_path):
    result = run(folder / "run", "--features", folder / "feats.h5", "-o", tmp_path / "out", "--no-pages")
    assert not (tmp_path / "out/index.html").exists()
    result = run(folder / "run", "--features", folder / "feats.h5", "-o", tmp_path / "out")
    assert f"Open:    {tmp_path / 'out/index.html'}" in result.stdout
    assert len(list((tmp_path / "out/pages").iterdir())) == 17
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/index.html").write_text("mine")
    result = run(folder / "run", "--features", folder / "feats.h5", "-o", tmp_path / "mine")
    assert result.exit_code == 2 and "is no page of aqa-score" in result.stderr and not result.stdout


def test_a_narrow_terminal_keeps_the_bar(capsys, monkeypatch):
    table = table_of(None, scored("a rather long name of a sample", "v.mp4"))
    monkeypatch.setenv("COLUMNS", "80")
    show(table)
    narrow = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "120")
    show(table)
    wide = capsys.readouterr().out
    assert "─●─" in narrow and "classes" not in narrow and "classes" in wide and "most like" in wide
    assert max(map(len, narrow.partition("position:")[0].splitlines())) <= 80


def test_a_comparison_is_shown(capsys):
    signed = np.random.default_rng(0).normal(size=40)
    first, second = scored("one", "v.mp4", 55.0), scored("two", "v.mp4", 50.0)
    made = compare(first, second, Calibration(np.abs(signed), signed=signed))
    show(table_of(None, first, second, comparison=made))
    said = capsys.readouterr().out
    assert "one less two: +5.00 points; that is more than noise: up to 5% of equally good" in said
    assert "1:    +1.00 less    +1.00:    +0.00" in said and "20 pairs of held-out samples" in said


def test_stretches_are_shown_by_how_well_they_fit(capsys):
    show(table_of(None, scored("v@2.0s", "v.mp4", share_as_far=0.9), by_fit=True))
    said = capsys.readouterr().out
    assert "as far" in said and "90%" in said
