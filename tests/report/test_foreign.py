"""Laws of predictions of other programs: a row like the others, or one clear message."""

import numpy as np
import pytest
from click.testing import CliRunner
from made_runs import leave_out_drawing, make_run, read_table, report, rows_of_test

from aqa_cli.report import main
from aqa_heads.evaluation.bootstrap import spearman_interval
from aqa_heads.evaluation.metrics import spearman
from aqa_heads.report.foreign import _read


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "baseline", n=20)


def written(path, rows, header="id,score"):
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *(f"{name},{score}" for name, score in rows)]) + "\n")
    return path


def test_they_are_a_row_that_is_measured_as_a_run_is(run, tmp_path):
    rows = rows_of_test(run)
    scores = np.random.default_rng(0).normal(60, 9, len(rows))
    said = [(row["sample_id"], score) for row, score in zip(rows, scores, strict=True)]
    file = written(tmp_path / "theirs" / "predictions.csv", [*reversed(said), ("elsewhere", 5)])
    page = report(tmp_path, run, file)
    (row,) = [row for row in page.table("results") if row["row"] == "theirs"]
    true = np.array([float(row["final_score"]) for row in rows])
    assert float(row["spearman"]) == pytest.approx(spearman(scores, true))
    assert (float(row["spearman_low"]), float(row["spearman_high"])) == spearman_interval(true, scores)
    assert {row["row"] for row in page.table("differences")} == {"theirs"}
    assert "predictions of another program, read from" in page.text
    assert "1 further samples" in page.text and "different protocols" not in page.text


def test_the_runs_own_predictions_are_the_same_row(run, tmp_path):
    rows = [(row["sample_id"], row["predicted_score"]) for row in rows_of_test(run)]
    file = written(tmp_path / "copy.csv", rows, "sample_id,predicted_score")
    page = report(tmp_path, run, file, reference="Baseline")
    first, second = [row for row in page.table("results") if row["kind"] == "run"]
    for name in ("spearman", "kendall", "pearson", "spearman_low", "spearman_high"):
        assert float(first[name]) == pytest.approx(float(second[name]), abs=1e-12)


def test_a_table_of_a_spreadsheet_is_read_as_annotations_are(run, tmp_path):
    rows = [(row["sample_id"], f"{float(row['predicted_score']):.4f}") for row in rows_of_test(run)]
    plain = written(tmp_path / "plain.csv", rows)
    own = tmp_path / "own.csv"
    lines = [
        "\ufeffID;Score;Bemerkung",
        *(f"{name};{score.replace('.', ',')};" for name, score in rows),
        ";;",
    ]
    own.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    assert _read(own) == _read(plain) and len(_read(own)) == len(rows)


def test_folds_are_tested_as_the_runs_folds_are(tmp_path):
    runs = [make_run(tmp_path / f"f{k}", fold=f"{k}/2", first=20 * k, n=20) for k in (1, 2)]
    rows = [(row["sample_id"], row["predicted_score"]) for run in runs for row in rows_of_test(run)]
    page = report(tmp_path, *runs, written(tmp_path / "copy.csv", rows))
    first, second = [row for row in page.table("results") if row["kind"] == "run"]
    assert second["folds"] == first["folds"] == "1/2 2/2"
    assert float(second["spearman"]) == pytest.approx(float(first["spearman"]), abs=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,score\n01_0000,5\n", "has no score for 19 of 20 test samples (01_0001"),
        ("id,points\n01_0000,5\n", "its columns are id, points, expected a column sample_id or id"),
        ("id,score\na,5\na,6\n", "line 3: a is there twice"),
        ("id,score\na,much\n", "line 2: score is 'much', expected a number"),
        ("id,score\na,\n", "line 2: a has no score"),
        ("id,score\na,n/a\n", "line 2: a has no score"),
        ("id,score\na,5_0\n", "line 2: score is '5_0', expected a number"),
        ("id,score\na,1e300\n", "line 2: score is '1e300', expected a number"),
        ("id,score\na,1,5\n", "line 2 has not 2 cells, one per column"),
        ("id;score\na;1,234\n", "line 2: score is '1,234', expected a number"),
        ("id,score\n", "holds no predictions"),
        ("", "holds no predictions"),
    ],
)
def test_what_does_not_fit_is_one_message(run, tmp_path, text, message):
    (tmp_path / "their.csv").write_text(text)
    answer = CliRunner().invoke(main, [str(run), str(tmp_path / "their.csv"), "-o", str(tmp_path / "r.html")])
    assert answer.exit_code == 2 and message in " ".join(answer.output.split()), answer.output
    assert not (tmp_path / "r.html").exists()


def test_predictions_alone_have_nothing_to_be_held_against(tmp_path):
    file = written(tmp_path / "their.csv", [("a", 1)])
    answer = CliRunner().invoke(main, [str(file), "-o", str(tmp_path / "r.html")])
    assert answer.exit_code == 2 and "has no true scores" in answer.output


def test_the_reference_is_the_row_that_was_asked_for(run, tmp_path):
    other = make_run(tmp_path / "exp1", "1", n=20, rho=0.9)
    page = report(tmp_path, run, other, reference=str(other))
    assert [(row["row"], row["reference"]) for row in page.table("differences")] == [("Baseline", "Exp 1")]
    by_name = report(tmp_path, run, other, reference="Exp 1")
    assert by_name.table("differences") == page.table("differences")
    answer = CliRunner().invoke(main, [str(run), "--reference", "x", "-o", str(tmp_path / "r.html")])
    assert (
        answer.exit_code == 2
        and "--reference x: is no row of this report, expected one of 'Baseline'" in answer.output
    )
    assert read_table(tmp_path / "report_files" / "samples.csv")
