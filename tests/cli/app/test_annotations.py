"""Annotations: whole at every instant, changed by one at a time, undone, and the project's own table."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time

import openpyxl
import pytest

from aqa_cache.annotations import Sample, read_annotations, write_annotations
from aqa_cache.errors import AqaError
from aqa_cli.app.annotations import MOST_HISTORY, Annotations, Conflict, NotInTable
from aqa_cli.app.folder import Folder
from aqa_cli.app.store import Store


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "app")
    folder.make()
    return folder


@pytest.fixture
def annotations(folder):
    store = Store(folder.database)
    yield Annotations(store, folder)
    store.close()


def table(folder):
    return {sample.sample_id: sample for sample in read_annotations(folder.videos / "annotations.csv")}


def test_changes_are_in_the_table_at_once(annotations, folder):
    row = annotations.add("dive.mp4")
    row = annotations.change(
        row.id, row.version, {"start_frame": 10, "end_frame": 50, "final_score": 71.5}, "Ann"
    )
    row = annotations.change(row.id, row.version, {"classes": {"position": "tuck"}, "comment": "late"}, "Ann")
    row = annotations.change(row.id, row.version, {"caption": "nice", "group": "club", "difficulty": 3.2})
    assert table(folder)["dive"] == Sample(
        "dive",
        "dive.mp4",
        10,
        50,
        None,
        "club",
        None,
        71.5,
        3.2,
        (),
        {"position": "tuck"},
        "nice",
        {"comment": "late"},
    )
    row = annotations.change(row.id, row.version, {"classes": {"position": None}, "start_frame": None})
    assert table(folder)["dive"].classes == {} and table(folder)["dive"].start_frame is None


def test_marks_of_several_people_are_their_columns(annotations, folder):
    first, second = annotations.add("a.mp4"), annotations.add("b.mp4")
    first = annotations.change(first.id, first.version, {"marks": {"Ann": 7.5}}, "Ann")
    second = annotations.change(second.id, second.version, {"marks": {"Ben": 6.0}}, "Ben")
    first = annotations.change(first.id, first.version, {"marks": {"Ben": 8.0}}, "Ben")
    found = table(folder)
    assert found["a"].judges == (7.5, 8.0) and str(found["b"].judges) == "(nan, 6.0)"
    with open(folder.videos / "judges.csv", newline="") as file:
        assert list(csv.reader(file))[1:] == [["judge_1", "Ann"], ["judge_2", "Ben"]]


def test_the_second_of_two_is_told_and_changes_nothing(annotations):
    row = annotations.add("a.mp4")
    mine = annotations.change(row.id, row.version, {"final_score": 80.0}, "Ann")
    with pytest.raises(Conflict, match="Ann has changed it meanwhile") as raised:
        annotations.change(row.id, row.version, {"final_score": 20.0}, "Ben")
    assert raised.value.row.sample.final_score == 80.0 and raised.value.row.version == mine.version
    with pytest.raises(Conflict):
        annotations.undo(row.id, row.version, "Ben")
    assert annotations.row(row.id).sample.final_score == 80.0


def test_of_many_at_once_one_wins_and_the_table_is_whole(annotations, folder):
    row, won = annotations.add("a.mp4"), []

    def change(number):
        try:
            won.append(
                annotations.change(row.id, row.version, {"final_score": float(number)}).sample.final_score
            )
        except Conflict:
            pass

    threads = [threading.Thread(target=change, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and table(folder)["a"].final_score == won[0]


def test_undo_takes_changes_back_one_by_one(annotations, folder):
    row = annotations.add("a.mp4")
    for score in (10.0, 20.0, 30.0):
        row = annotations.change(row.id, row.version, {"final_score": score})
    for expected in (20.0, 10.0, None):
        assert row.undoable
        row = annotations.undo(row.id, row.version)
        assert row.sample.final_score == expected == table(folder)["a"].final_score
    assert not row.undoable
    with pytest.raises(AqaError, match="nothing to be undone"):
        annotations.undo(row.id, row.version)


def test_what_was_removed_is_out_of_the_table_until_it_is_put_back(annotations, folder):
    first, second = annotations.add("a.mp4"), annotations.add("b.mp4")
    first = annotations.change(first.id, first.version, {"final_score": 7.0, "marks": {"Ann": 6.5}}, "Ann")
    before = table(folder)
    with pytest.raises(Conflict):
        annotations.remove(first.id, first.version - 1)
    annotations.remove(first.id, first.version)
    assert set(table(folder)) == {"b"} and annotations.row(first.id) is None
    assert [row.id for row in annotations.rows()] == [second.id]
    assert [row.sample_id for row in annotations.removed()] == ["a"]
    assert annotations.videos() == {"a.mp4", "b.mp4"}  # the next start makes no new row of it
    for change in (
        lambda: annotations.remove(first.id, first.version),
        lambda: annotations.change(first.id, first.version, {"final_score": 8.0}),
        lambda: annotations.undo(first.id, first.version),
    ):
        with pytest.raises(AqaError, match="was removed; load the page again"):
            change()
    assert annotations.add("a.mp4").sample_id == "a_2"
    annotations.put_back(first.id)
    assert table(folder)["a"] == before["a"] and list(table(folder)) == ["a", "b", "a_2"]
    assert annotations.row(first.id) == first and annotations.removed() == []
    with pytest.raises(AqaError, match="not among those that were removed"):
        annotations.put_back(first.id)


def test_history_is_bounded(annotations):
    row = annotations.add("a.mp4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annotations, "write", lambda: None)
        for score in range(MOST_HISTORY + 20):
            row = annotations.change(row.id, row.version, {"final_score": float(score)})
    (count,) = annotations._store.one("SELECT count(*) FROM history")
    assert count == MOST_HISTORY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_frame": 5, "end_frame": 5}, "must be after the start"),
        ({"start_frame": -1}, "from 0 up"),
        ({"start_frame": 1.5}, "from 0 up"),
        ({"start_frame": True}, "from 0 up"),
        ({"final_score": 10**400}, "expected a number"),
        ({"marks": {"Ann": -(10**400)}}, "expected a number"),
        ({"final_score": float("nan")}, "expected a number"),
        ({"final_score": "80"}, "expected a number"),
        ({"difficulty": 0}, "greater than 0"),
        ({"marks": {"": 7}}, "a name is empty"),
        ({"marks": {"Ann": "7"}}, "expected a number"),
        ({"classes": {"a\nb": "x"}}, "is no name of a class"),
        ({"comment": "x" * 5001}, "at most 5,000"),
        ({"comment": "\ud800"}, "no table can hold"),
        ({"comment": "a\0"}, "no table can hold"),
        ({"split": "dev"}, "expected one of"),
        ({"video": "../x"}, "nothing of a row"),
        ({"sample_id": "x"}, "nothing of a row"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_nothing_changes(annotations, changes, message):
    row = annotations.add("a.mp4")
    with pytest.raises(AqaError, match=message):
        annotations.change(row.id, row.version, changes)
    assert annotations.row(row.id) == row


def test_further_actions_of_a_video_have_names_of_their_own(annotations):
    assert [annotations.add("a.mp4").sample_id for _ in range(3)] == ["a", "a_2", "a_3"]


def test_a_table_that_was_there_is_taken_over_and_kept(folder):
    samples = [
        Sample(
            "x",
            "v.mp4",
            0,
            9,
            "train",
            "g",
            "1",
            5.0,
            2.0,
            (7.0, float("nan")),
            {"c": "d"},
            "s",
            {"own": "1"},
        ),
        Sample("y", "v.mp4", 9, 20, judges=(float("nan"), 6.0)),
    ]
    write_annotations(folder.videos / "annotations.csv", samples)
    before = (folder.videos / "annotations.csv").read_bytes()
    for _ in range(2):  # the second time there is nothing to be taken over
        store = Store(folder.database)
        annotations = Annotations(store, folder)
        annotations.begin_with_table()
        annotations.write()
        # NaN is not equal to itself.
        assert [str(sample) for sample in table(folder).values()] == [str(sample) for sample in samples]
        assert annotations.people() == ["judge 1", "judge 2"]
        store.close()
    assert (folder.videos / "annotations.began-with.csv").read_bytes() == before
    # Killed before the rows were in the store: what is kept is what there was.
    folder.database.unlink()
    write_annotations(folder.videos / "annotations.csv", [])
    store = Store(folder.database)
    Annotations(store, folder).begin_with_table()
    assert set(table(folder)) == {"x", "y"}
    store.close()


CHANGING = """
import sys
from pathlib import Path
from aqa_cli.app.annotations import Annotations
from aqa_cli.app.folder import Folder
from aqa_cli.app.store import Store
folder = Folder(Path(sys.argv[1])); store = Store(folder.database); annotations = Annotations(store, folder)
row = annotations.rows()[0]
for number in range(10**6):
    row = annotations.change(row.id, row.version, {"final_score": float(number), "comment": "x" * 4000})
    print(number, flush=True)
"""


def test_killed_at_any_instant_the_table_is_whole_and_nothing_said_is_lost(annotations, folder):
    for number in range(30):
        annotations.add(f"{number}.mp4")
    for killed_after in (0.0, 0.013, 0.029):
        process = subprocess.Popen(
            [sys.executable, "-c", CHANGING, str(folder.root)], stdout=subprocess.PIPE, text=True
        )
        said = process.stdout.readline()
        time.sleep(killed_after)
        os.kill(process.pid, signal.SIGKILL)
        said = (said + process.stdout.read()).split()
        process.wait()
        process.stdout.close()
        last = float(said[-1])
        assert len(table(folder)) == 30 and table(folder)["0"].final_score in (last, last + 1)
        assert annotations.rows()[0].sample.final_score in (last, last + 1)


def test_a_full_disk_is_said_and_the_old_table_stays(annotations, folder, monkeypatch):
    row = annotations.add("a.mp4")
    before = (folder.videos / "annotations.csv").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("aqa_cli.app.table_file.write_annotations", full)
        with pytest.raises(NotInTable, match="kept here, but not in the table yet .*No space left") as raised:
            annotations.change(row.id, row.version, {"final_score": 1.0})
        row = raised.value.row  # with it one goes on
        with pytest.raises(NotInTable) as raised:
            annotations.change(row.id, row.version, {"difficulty": 2.0})
    assert (folder.videos / "annotations.csv").read_bytes() == before
    row = annotations.change(row.id, raised.value.row.version, {"group": "g"})
    made = table(folder)["a"]
    assert (made.final_score, made.difficulty, made.group) == (1.0, 2.0, "g")
    assert annotations.table.edited() == []


def test_what_another_program_made_of_the_table_is_kept_and_said(annotations, folder, capsys):
    path = folder.videos / "annotations.csv"
    row = annotations.add("a.mp4")
    row = annotations.change(row.id, row.version, {"final_score": 1.0})
    edited = path.read_text().replace("1.0", "99.0")
    path.write_text(edited)
    store = Store(folder.database)  # as at the next start
    annotations = Annotations(store, folder)
    assert annotations.begin_with_table() == []
    annotations.add_all(())
    assert table(folder)["a"].final_score == 1.0
    assert (folder.videos / "annotations.edited-1.csv").read_text() == edited
    assert "another program has changed it. It is kept as annotations.edited-1.csv" in capsys.readouterr().err
    path.write_text("video\nb.mp4\n")  # while it runs
    annotations.change(row.id, row.version, {"final_score": 2.0})
    assert annotations.table.edited() == ["annotations.edited-1.csv", "annotations.edited-2.csv"]
    assert (folder.videos / "annotations.edited-2.csv").read_text() == "video\nb.mp4\n"
    annotations.write()
    assert len(annotations.table.edited()) == 2 and not capsys.readouterr().out
    store.close()


def test_killed_between_the_rows_and_the_table_nothing_counts_as_edited(annotations, folder, monkeypatch):
    row = annotations.add("a.mp4")
    for module in ("aqa_cache.disk.atomic.os.replace", "aqa_cache.disk.atomic._sync_folder"):
        with monkeypatch.context() as patch:
            patch.setattr(module, _killed)
            with pytest.raises(KeyboardInterrupt):
                annotations.change(row.id, row.version, {"final_score": float(row.version)})
        row = annotations.row(row.id)
    annotations.write()
    assert table(folder)["a"].final_score == 2.0 and annotations.table.edited() == []


def _killed(*_):
    raise KeyboardInterrupt


def test_judges_keep_their_columns_whoever_marked_the_first_row(annotations, folder):
    given = {"x": (float("nan"), 8.0, 7.0), "y": (6.0,), "z": (6.5, 7.5, 8.5)}
    write_annotations(
        folder.videos / "annotations.csv", [Sample(id, f"{id}.mp4", judges=m) for id, m in given.items()]
    )
    annotations.begin_with_table()
    annotations.write()
    marks = {id: sample.judges for id, sample in table(folder).items()}
    assert str(marks["x"]) == "(nan, 8.0, 7.0)" and marks["y"][0] == 6.0 and marks["z"] == (6.5, 7.5, 8.5)


@pytest.mark.parametrize("name", ["annotations.xlsx", "Annotations.csv", "scores 2026.csv"])
def test_it_begins_with_the_table_that_extraction_would_find(annotations, folder, name, capsys):
    path = folder.videos / name
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for cells in (["Video", "Score"], ["a.mp4", 71.5]):
            book.active.append(cells)
        book.save(path)
    else:
        path.write_text("Video;Score\na.mp4;71,5\n")
    before = path.read_bytes()
    assert annotations.begin_with_table() == ["a.mp4"]
    assert table(folder)["a"].final_score == 71.5 and path.read_bytes() == before
    assert name in capsys.readouterr().err and annotations.table.edited() == []


def test_a_table_that_is_refused_can_be_mended(annotations, folder):
    path = folder.videos / "annotations.csv"
    path.write_text("video,final_score\na.mp4,seventy\n")
    with pytest.raises(AqaError, match="final_score is 'seventy'"):
        annotations.begin_with_table()
    path.write_text("video,final_score\na.mp4,70\n")
    annotations.begin_with_table()
    assert table(folder)["a"].final_score == 70.0
    (folder.videos / "annotations.began-with.csv").unlink()


def test_what_is_no_store_of_ours_is_said(tmp_path):
    (tmp_path / "app.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(AqaError, match="cannot be used"):
        Store(tmp_path / "app.sqlite")
