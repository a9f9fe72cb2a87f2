"""The queue: one job at a time, each in a process of its own, that survives a restart of the server."""

import json
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aqa_cache.errors import AqaError

from .folder import Folder, new_id
from .store import Store
from .work import LONGEST_TEXT, SAID

# How long a job of a kind may say nothing: what hangs a decoder ends there.
PATIENCE = {"prepare": 120.0, "score": 600.0, "learn": 3600.0}
MOST_WAITING, MOST_ATTEMPTS = 200, 3
_AGAIN = 2.0  # seconds to the next try to note what cannot be written
WORKER = (sys.executable, "-m", "aqa_cli.app.work")
TAKEN_OUT = "taken out of the queue"
_KEPT_LINES, _LONGEST_LINE, _LONGEST_REASON = 20, 32_000, LONGEST_TEXT
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


@dataclass
class Progress:
    """What the job under way says.

    Args:
        share: that is done, 0 to 1; None: not known.
        lines: the last that it said.
        note: what a person should know of it when it is done.
    """

    job: str = ""
    said: str = ""
    share: float | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    note: str = ""


@dataclass(frozen=True)
class Job:
    """One of the queue.

    Args:
        kind: `prepare` a video for the browser, `score` it, `learn` from the annotations.
        asked: what for, JSON.
        reason: why it failed; of one that is done, what a person should know, if anything.
        place: in the queue: 0 under way, 1 the next; None: it has ended.
    """

    id: str
    kind: str
    asked: dict[str, Any]
    state: str
    reason: str
    made: float
    ended: float | None
    place: int | None = None

    @property
    def over(self) -> bool:
        return self.state in (DONE, FAILED)


class Queue:
    """All jobs, and the thread that has them done.

    Args:
        store: in which they lie.
        folder: in which they are done.
        patience: seconds that a job of a kind may say nothing.
    """

    def __init__(self, store: Store, folder: Folder, patience: dict[str, float] = PATIENCE):
        self._store, self._folder, self._patience = store, folder, patience
        self._news, self._ended = threading.Condition(), threading.Event()
        self._under_way: tuple[str, subprocess.Popen] | None = None  # its id, and its process
        self._thread: threading.Thread | None = None
        self.progress = Progress()

    def start(self) -> None:
        """Go on with what there is; what was under way when the server ended begins again."""
        with self._store.changing() as db:
            db.execute("UPDATE jobs SET state = ? WHERE state = ?", (WAITING, RUNNING))
        self._thread = threading.Thread(target=self._work, name="aqa-app-queue", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the job under way, which begins again at the next start."""
        self._ended.set()
        with self._news:
            self._news.notify_all()
        if under_way := self._under_way:
            under_way[1].kill()
        if self._thread is not None:
            self._thread.join()

    def add(self, kind: str, asked: dict[str, Any]) -> Job:
        """Put a job at the end of the queue.

        Of `prepare` there may be as many as there are videos.

        Raises:
            AqaError: it is full.
        """
        id = new_id()
        with self._store.changing() as db:
            (waiting,) = db.execute(
                "SELECT count(*) FROM jobs WHERE state = ? AND kind != 'prepare'", (WAITING,)
            ).fetchone()
            if waiting >= MOST_WAITING and kind != "prepare":
                raise AqaError(f"{waiting} jobs are waiting, and there may be no more; try again later")
            db.execute(
                "INSERT INTO jobs(id, kind, asked, state, made) VALUES (?, ?, ?, ?, ?)",
                (id, kind, json.dumps(asked), WAITING, time.time()),
            )
        with self._news:
            self._news.notify_all()
        job = self.job(id)
        assert job is not None
        return job

    def job(self, id: str) -> Job | None:
        found = self._store.one("SELECT * FROM jobs WHERE id = ?", id)
        return None if found is None else self._made(found)

    def jobs(self, kind: str | None = None, most: int = 500) -> list[Job]:
        """The newest first."""
        if kind is None:
            found = self._store.all("SELECT * FROM jobs ORDER BY number DESC LIMIT ?", most)
        else:
            found = self._store.all(
                "SELECT * FROM jobs WHERE kind = ? ORDER BY number DESC LIMIT ?", kind, most
            )
        return [self._made(one) for one in found]

    def unfinished(self, most: int = 500) -> list[Job]:
        """What is under way and waiting, in the order in which it is done."""
        found = self._store.all(
            "SELECT * FROM jobs WHERE state IN (?, ?) ORDER BY state != ?, number LIMIT ?",
            *(WAITING, RUNNING, RUNNING, most),
        )
        return [self._made(one) for one in found]

    def count_unfinished(self) -> int:
        states = WAITING, RUNNING
        return self._store.one("SELECT count(*) AS n FROM jobs WHERE state IN (?, ?)", *states)["n"]

    def being_prepared(self) -> set[str]:
        """Ids of the videos that are, or will be."""
        found = self._store.all(
            "SELECT asked FROM jobs WHERE kind = 'prepare' AND state IN (?, ?)", WAITING, RUNNING
        )
        return {json.loads(one["asked"])["video"] for one in found}

    def cancel(self, id: str) -> None:
        """Take a job out of the queue, or end it."""
        with self._store.changing() as db:
            ended = db.execute(
                "UPDATE jobs SET state = ?, reason = ?, ended = ? WHERE id = ? AND state IN (?, ?)"
                " RETURNING kind, asked",
                (FAILED, TAKEN_OUT, time.time(), id, WAITING, RUNNING),
            ).fetchone()
            if ended is not None and ended["kind"] == "prepare":
                _note_prepared(db, json.loads(ended["asked"])["video"], TAKEN_OUT)
        if (under_way := self._under_way) and under_way[0] == id:
            under_way[1].kill()

    def _made(self, row) -> Job:
        place = None
        if row["state"] == RUNNING:
            place = 0
        elif row["state"] == WAITING:
            place = self._store.one(
                "SELECT count(*) AS n FROM jobs WHERE state = ? AND number <= ?", WAITING, row["number"]
            )["n"]
        asked = json.loads(row["asked"])
        return Job(
            row["id"], row["kind"], asked, row["state"], row["reason"], row["made"], row["ended"], place
        )

    def _work(self) -> None:
        while not self._ended.is_set():
            found = self._store.one("SELECT * FROM jobs WHERE state = ? ORDER BY number LIMIT 1", WAITING)
            if found is None:
                with self._news:
                    self._news.wait(1.0)
                continue
            job = self._made(found)
            try:
                if (reason := self._begin(job, found["attempts"] + 1)) is None:
                    continue
            except (AqaError, OSError) as error:
                reason = str(error)
            while not self._ended.is_set():  # else it begins again at the next start
                try:
                    self._end(job, reason)
                    break
                except AqaError:  # a full disk: noted when there is room
                    self._ended.wait(_AGAIN)

    def _begin(self, job: Job, attempt: int) -> str | None:
        """Have a job done; why it failed, or nothing. None where it was taken out of the queue meanwhile."""
        with self._store.changing() as db:
            begun = db.execute(
                "UPDATE jobs SET state = ?, attempts = ? WHERE id = ? AND state = ?",
                (RUNNING, attempt, job.id, WAITING),
            )
            if not begun.rowcount:
                return None
        if attempt > MOST_ATTEMPTS:
            return f"the server ended {attempt - 1} times while it was done; it is not tried again"
        self.progress = Progress(job.id)
        words = [*WORKER, str(self._folder.root.resolve())]
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._under_way = job.id, process
        watch = _Watch(process, self._patience.get(job.kind, 600.0))
        try:
            assert process.stdin and process.stdout
            if self._ended.is_set() or not self._is_running(job.id):  # before there was what to kill
                process.kill()
            # Kept open: when the server is killed it closes, and the worker ends.
            try:
                process.stdin.write(
                    json.dumps({"id": job.id, "kind": job.kind, **job.asked}).encode() + b"\n"
                )
                process.stdin.flush()
            except OSError:
                pass  # it has ended, and says why
            while line := process.stdout.readline(_LONGEST_LINE):
                watch.heard()
                self._hear(line.decode("utf-8", "replace").strip())
            code = process.wait()
        finally:
            watch.end()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                try:
                    if pipe:
                        pipe.close()
                except OSError:
                    pass
            self._under_way = None
        if code == 0:
            return ""
        if watch.lost_patience:
            return f"it said nothing for {watch.seconds:.0f} s and was ended; the video may be damaged"
        if code == SAID:
            return self.progress.said
        return f"its process ended with {code}: {' '.join(self.progress.lines)}"

    def _is_running(self, id: str) -> bool:
        found = self._store.one("SELECT 1 FROM jobs WHERE id = ? AND state = ?", id, RUNNING)
        return found is not None

    def _hear(self, line: str) -> None:
        try:
            said = json.loads(line)
            if not isinstance(said, dict):
                raise ValueError
        except ValueError:  # what a library printed
            self.progress.lines.append(line)
            return
        share, text, note = said.get("share"), said.get("said"), said.get("note")
        self.progress.share = share if isinstance(share, int | float) else None
        if isinstance(text, str):
            self.progress.said = text[:_LONGEST_REASON]
            self.progress.lines.append(self.progress.said)
        if isinstance(note, str):
            self.progress.note = note

    def _end(self, job: Job, reason: str) -> None:
        frames = None
        if job.kind == "prepare" and not reason:
            try:
                path = self._folder.previews / f"{job.asked['video']}.json"
                frames = len(json.loads(path.read_text())["times"])
            except (OSError, ValueError, LookupError):
                reason = "what was prepared is not there any more"
        with self._store.changing() as db:
            ended = db.execute(
                "UPDATE jobs SET state = ?, reason = ?, ended = ? WHERE id = ? AND state = ?",
                (
                    FAILED if reason else DONE,
                    (reason or self.progress.note)[:_LONGEST_REASON],
                    time.time(),
                    job.id,
                    RUNNING,
                ),
            )
            if job.kind == "prepare" and ended.rowcount:  # else it was taken out, and that is noted
                _note_prepared(db, job.asked["video"], reason, frames)
        self.progress = Progress()
        with self._news:
            self._news.notify_all()


def _note_prepared(db, video: str, reason: str, frames: int | None = None) -> None:
    """That a video is ready, with so many frames, or why it is not."""
    db.execute(
        "UPDATE videos SET state = ?, reason = ?, frames = ? WHERE id = ?",
        ("failed" if reason else "ready", reason[:_LONGEST_REASON], frames, video),
    )


class _Watch:
    """Ends a process that says nothing for too long."""

    def __init__(self, process: subprocess.Popen, seconds: float):
        self.seconds, self.lost_patience = seconds, False
        self._process, self._heard, self._over = process, time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._look, name="aqa-app-watch", daemon=True)
        self._thread.start()

    def heard(self) -> None:
        self._heard = time.monotonic()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(min(1.0, self.seconds / 4)):
            if time.monotonic() - self._heard > self.seconds:
                self.lost_patience = True
                self._process.kill()
                return
