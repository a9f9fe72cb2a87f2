"""Laws of watching: what is being trained is a grey row, and the page loads itself until all is done."""

import json
import shutil

import pytest
from click.testing import CliRunner
from made_runs import Page, leave_out_drawing, make_run

from aqa_cli import report as command
from aqa_heads.report.unfinished import find_unfinished
from aqa_heads.report.writing import write_report
from aqa_heads.runs.folder import PROGRESS, Work, hidden_folder, new_run_folder
from aqa_heads.runs.tables import Epoch
from aqa_heads.training.listener import Listener


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def begun(folder, **said):
    hidden = hidden_folder(folder)
    hidden.mkdir(parents=True)
    if said:
        (hidden / PROGRESS).write_text(json.dumps(said))
    return hidden


def test_a_run_says_how_far_it_is_and_takes_the_note_away_when_it_is_finished(tmp_path):
    with new_run_folder(tmp_path / "runs" / "exp1", overwrite=False) as work:
        work.tell(3, 12, 0.5)
        work.tell(4, 12, 0.6)  # at once: the disk is left alone
        (run,) = find_unfinished([tmp_path])
        assert (run.name, run.epoch, run.epochs, run.validation) == ("exp1", 3, 12, 0.5)
        (work.path / "summary.json").write_text("{}")
    assert find_unfinished([tmp_path]) == [] and not (tmp_path / "runs" / "exp1" / PROGRESS).exists()


def test_a_note_that_cannot_be_left_stops_nothing(tmp_path):
    Work(tmp_path / "gone", 1.0).tell(1, 2, float("nan"))


def test_unfinished_runs_are_grey_rows_of_a_page_that_loads_itself_again(tmp_path):
    make_run(tmp_path / "runs" / "baseline", n=12)
    begun(tmp_path / "runs" / "exp1", epoch=3, epochs=12, val_spearman=0.5)
    begun(tmp_path / "runs" / "<b>")
    page = Page(write_report([tmp_path / "runs"], tmp_path / "report.html", refresh=30))
    assert "exp1 not finished: epoch 3 of at most 12 validation 0.500" in page.text
    assert "<b> not finished: begun" in page.text and 'class="unfinished"' in page.source
    assert ("meta", "http-equiv", "refresh") in page.attributes
    page = Page(write_report([tmp_path / "runs"], tmp_path / "report.html"))
    assert "not finished" not in page.text and ("meta", "http-equiv", "refresh") not in page.attributes


def test_damaged_notes_are_taken_for_none(tmp_path):
    hidden = begun(tmp_path / "exp1", epoch=1)
    for text in ("", "{", '{"epoch": -1}', '{"epoch": "<b>"}', "[]"):
        (hidden / PROGRESS).write_text(text)
        assert find_unfinished([tmp_path])[0].epoch is None


def test_before_the_first_run_is_finished_the_page_is_there_already(tmp_path):
    begun(tmp_path / "runs" / "exp1")
    page = Page(write_report([tmp_path / "runs"], tmp_path / "report.html", refresh=30))
    assert "No run is finished yet." in page.text and "exp1" in page.text


def test_watching_ends_when_nothing_is_unfinished(tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    hidden = begun(runs / "exp1", epoch=1, epochs=2)
    finished = make_run(tmp_path / "made", "1", n=12)
    looks = []

    def sleep(seconds):
        looks.append(Page(tmp_path / "report.html").text)
        if len(looks) == 2:
            shutil.rmtree(hidden)
            shutil.copytree(finished, runs / "exp1")

    monkeypatch.setattr(command.time, "sleep", sleep)
    answer = CliRunner().invoke(command.main, [str(runs), "--watch", "-o", str(tmp_path / "report.html")])
    assert answer.exit_code == 0 and "no run is unfinished" in answer.output
    assert "epoch 1 of at most 2" in looks[0]
    page = Page(tmp_path / "report.html")
    assert "Exp 1" in page.text and ("meta", "http-equiv", "refresh") not in page.attributes


def test_watching_what_is_not_there_is_an_error(tmp_path):
    answer = CliRunner().invoke(
        command.main, [str(tmp_path / "x"), "--watch", "-o", str(tmp_path / "r.html")]
    )
    assert answer.exit_code == 2 and "does not exist" in answer.output


def test_training_notes_each_epoch_and_still_tells_its_listener(tmp_path):
    heard = []
    listener = Listener(on_epoch=heard.append).telling(Work(tmp_path, 1.0), 12)
    epoch = Epoch(2, *[None] * 5, 0.25, *[None] * 5, 0.1)
    listener.on_epoch(epoch)
    assert heard == [epoch]
    assert json.loads((tmp_path / PROGRESS).read_text()) == {"epoch": 2, "epochs": 12, "val_spearman": 0.25}
