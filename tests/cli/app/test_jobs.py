"""The queue: one job at a time, in order, each once, whatever ends it."""

import json
import sys
import textwrap
import time

import pytest
from app_server import HANGS

from aqa_cache.errors import AqaError
from aqa_cli.app import jobs
from aqa_cli.app.folder import Folder
from aqa_cli.app.jobs import MOST_ATTEMPTS, MOST_WAITING, Queue
from aqa_cli.app.store import Store

# A worker that writes what it did, as `do` of its job says.
WORKER = """
import json, os, sys, time
from pathlib import Path
folder, asked = Path(sys.argv[1]), json.loads(sys.stdin.readline())
with open(folder / "done.txt", "a") as file:
    file.write(asked["name"] + " begins\\n")
do = asked["do"]
if do == "hang":
    time.sleep(60)
if do == "wait":
    print(json.dumps({"said": "waiting", "share": 0.5}), flush=True)
    while not (folder / "go").exists():
        time.sleep(0.01)
if do == "fail":
    print(json.dumps({"said": "the video is damaged"}), flush=True)
    sys.exit(3)
if do == "crash":
    print("Traceback: a bug", flush=True)
    sys.exit(1)
with open(folder / "done.txt", "a") as file:
    file.write(asked["name"] + " ends\\n")
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A folder, and a queue that is not started."""
    (tmp_path / "worker.py").write_text(textwrap.dedent(WORKER))
    monkeypatch.setattr(jobs, "WORKER", (sys.executable, str(tmp_path / "worker.py")))
    folder = Folder(tmp_path / "app")
    folder.make()
    stores = []

    def queue(**patience):
        stores.append(Store(folder.database))
        return Queue(stores[-1], folder, patience)

    yield folder, queue
    for store in stores:
        store.close()


def ended(queue, *ids):
    until = time.monotonic() + HANGS
    while not all(queue.job(id).over for id in ids) and time.monotonic() < until:
        time.sleep(0.01)
    return [queue.job(id) for id in ids]


def lines(folder):
    return (folder.root / "done.txt").read_text().splitlines()


def test_jobs_are_done_one_by_one_in_their_order_with_place_shown(made):
    folder, make = made
    queue = make()
    ids = [queue.add("score", {"name": f"{n}", "do": "wait"}).id for n in range(10)]
    assert [queue.job(id).place for id in ids] == list(range(1, 11))
    queue.start()
    until = time.monotonic() + HANGS
    while queue.progress.said != "waiting" and time.monotonic() < until:
        time.sleep(0.01)
    assert [job.place for job in queue.unfinished()] == list(range(10)) and queue.progress.share == 0.5
    (folder.root / "go").touch()
    assert {job.state for job in ended(queue, *ids)} == {"done"}
    queue.stop()
    assert lines(folder) == [f"{n} {what}" for n in range(10) for what in ("begins", "ends")]


def test_what_fails_says_why_and_the_queue_goes_on(made):
    _, make = made
    queue = make(hang=0.5)
    does = ("fail", "crash", "hang", "fine")
    ids = [queue.add("hang" if do == "hang" else "score", {"name": do, "do": do}).id for do in does]
    queue.start()
    failed, crashed, hung, fine = ended(queue, *ids)
    queue.stop()
    assert failed.reason == "the video is damaged" and "Traceback: a bug" in crashed.reason
    assert "it said nothing for 0 s and was ended" in hung.reason and fine.state == "done"


def test_ended_and_started_again_it_goes_on_and_does_nothing_twice(made):
    folder, make = made
    queue = make()
    first = queue.add("score", {"name": "first", "do": "fine"})
    second = queue.add("score", {"name": "second", "do": "wait"})
    third = queue.add("score", {"name": "third", "do": "fine"})
    queue.start()
    ended(queue, first.id)
    while queue.progress.said != "waiting":
        time.sleep(0.01)
    queue.stop()
    again = make()
    (folder.root / "go").touch()
    again.start()
    assert [job.state for job in ended(again, first.id, second.id, third.id)] == ["done"] * 3
    again.stop()
    said = lines(folder)
    assert [said.count(f"{name} ends") for name in ("first", "second", "third")] == [1, 1, 1]
    assert said.count("first begins") == 1 and said.count("second begins") == 2


def test_what_ends_the_server_again_and_again_is_given_up(made):
    _, make = made
    queue = make()
    job = queue.add("score", {"name": "a", "do": "fine"})
    with queue._store.changing() as db:
        db.execute("UPDATE jobs SET state = 'running', attempts = ?", (MOST_ATTEMPTS,))
    queue.start()
    (found,) = ended(queue, job.id)
    queue.stop()
    assert found.state == "failed" and "it is not tried again" in found.reason


def test_a_job_can_be_taken_out_and_ended(made):
    folder, make = made
    queue = make()
    ids = [queue.add("score", {"name": name, "do": "wait"}).id for name in ("under way", "waiting", "last")]
    queue.start()
    while queue.progress.said != "waiting":
        time.sleep(0.01)
    queue.cancel(ids[1])
    queue.cancel(ids[0])
    (folder.root / "go").touch()
    states = [job.state for job in ended(queue, *ids)]
    queue.stop()
    assert states == ["failed", "failed", "done"] and "waiting begins" not in lines(folder)


def test_a_job_that_is_taken_out_as_it_begins_is_not_done(made):
    """Between the moment that the queue has seen it and the one that it is under way."""
    folder, make = made
    queue = make()
    job = queue.add("score", {"name": "a", "do": "fine"})
    queue.cancel(job.id)
    assert queue._begin(job, 1) is None
    assert queue.job(job.id).reason == jobs.TAKEN_OUT and not (folder.root / "done.txt").exists()


@pytest.mark.parametrize("how", ["taken out", "server ends"])
def test_a_job_whose_process_is_just_being_started_is_ended(made, monkeypatch, how):
    folder, make = made
    queue = make()
    job = queue.add("prepare", {"name": "a", "do": "wait", "video": "v"})

    def popen(*words, **options):
        queue.cancel(job.id) if how == "taken out" else queue._ended.set()
        return Popen(*words, **options)

    Popen = jobs.subprocess.Popen
    monkeypatch.setattr(jobs.subprocess, "Popen", popen)
    assert "its process ended with -9" in queue._begin(job, 1)
    queue._end(job, "its process ended with -9")
    assert queue.job(job.id).reason == (jobs.TAKEN_OUT if how == "taken out" else "its process ended with -9")


def test_the_queue_is_bounded(made, monkeypatch):
    _, make = made
    queue = make()
    monkeypatch.setattr(jobs, "MOST_WAITING", 3)
    for number in range(3):
        queue.add("score", {"name": str(number), "do": "fine"})
    with pytest.raises(AqaError, match="3 jobs are waiting"):
        queue.add("score", {"name": "one more", "do": "fine"})


def test_a_worker_ends_when_its_server_is_gone(tmp_path):
    """The server was killed: its end of the pipe is closed."""
    import subprocess

    folder = Folder(tmp_path / "app")
    folder.make()
    lock = folder.root / ".work.lock"
    # Held, so that the worker waits.
    from aqa_cache.disk.locks import FileLock

    held = FileLock(lock)
    assert held.acquire()
    process = subprocess.Popen(
        [sys.executable, "-m", "aqa_cli.app.work", str(folder.root)], stdin=subprocess.PIPE
    )
    process.stdin.write(
        json.dumps({"id": "x", "kind": "prepare", "video": "v", "file": "v.mp4"}).encode() + b"\n"
    )
    process.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.stdin.close()
    assert process.wait(HANGS) == 1
    held.release()


def test_videos_to_be_prepared_do_not_fill_the_queue(made):
    _, make = made
    queue = make()
    for number in range(MOST_WAITING + 1):
        queue.add("prepare", {"video": f"{number}", "file": f"{number}.mp4"})
    for _ in range(MOST_WAITING):
        queue.add("score", {})
    with pytest.raises(AqaError, match="jobs are waiting, and there may be no more"):
        queue.add("score", {})


def test_a_disk_that_is_full_when_a_job_ends_does_not_end_the_queue(made, monkeypatch):
    folder, make = made
    monkeypatch.setattr(jobs, "_AGAIN", 0.01)
    queue = make()
    plain, full = queue._end, [True] * 3

    def end(job, reason):
        if full:
            full.pop()
            raise AqaError("cannot be written (database or disk is full)")
        plain(job, reason)

    monkeypatch.setattr(queue, "_end", end)
    ids = [queue.add("score", {"name": name, "do": "well"}).id for name in "ab"]
    queue.start()
    assert {job.state for job in ended(queue, *ids)} == {"done"}
    queue.stop()
    assert lines(folder) == ["a begins", "a ends", "b begins", "b ends"], "none is done twice"


def test_a_video_whose_preview_vanishes_has_failed(made):
    folder, make = made
    queue = make()
    job = queue.add("prepare", {"video": "0" * 16, "file": "a.mp4", "name": "a", "do": "well"})
    queue.start()
    (job,) = ended(queue, job.id)
    queue.stop()
    assert job.state == "failed" and "not there any more" in job.reason
