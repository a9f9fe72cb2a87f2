"""Annotations of the videos: rows that several people change, their history, and the table made of them.

`videos/annotations.csv` is the project's own table (docs/annotations.md), rewritten whole after every change.
A row that is removed is in the table no more, and is kept.
People's marks of a clip are its `judge_1`, `judge_2`, …, one column a person; `judges.csv` says who is which.
"""

import json
import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from aqa_cache.annotations import Sample, read_table
from aqa_cache.errors import AqaError
from aqa_cli.terminal import say

from .folder import Folder, new_id
from .row_values import COMMENT, FRAMES, NUMBERS, changed, text_of
from .store import Store
from .table_file import TableFile

MOST_PEOPLE, MOST_ROWS, MOST_HISTORY = 50, 20_000, 200


class Conflict(AqaError):
    """Somebody else has changed the row meanwhile.

    Args:
        row: as it is now.
    """

    def __init__(self, row: "Row"):
        super().__init__(f"{row.sample_id}: {row.who or 'somebody'} has changed it meanwhile")
        self.row = row


class NotInTable(AqaError):
    """A change that is kept, but not in the table yet.

    Args:
        row: as it is now.
    """

    def __init__(self, row: "Row", error: AqaError):
        why = str(error).removesuffix("; nothing was changed")
        super().__init__(
            f"{row.sample_id}: the change is kept here, but not in the table yet ({why}); make room, it"
            " comes there with the next change"
        )
        self.row = row


@dataclass(frozen=True)
class Row:
    """One action to be scored, as it is annotated.

    Args:
        id: in addresses; version: counts the changes.
        sample: of the table; its judges are `marks`.
        marks: by person's name.
        who: changed it last.
        undoable: whether there is a change to be undone.
    """

    id: str
    version: int
    sample: Sample
    marks: Mapping[str, float] = field(default_factory=dict)
    who: str = ""
    undoable: bool = False

    @property
    def sample_id(self) -> str:
        return self.sample.sample_id

    def record(self) -> dict:
        """As JSON."""
        s = self.sample
        return {
            "id": self.id,
            "version": self.version,
            "sample_id": s.sample_id,
            "video": s.video,
            **_content(s, self.marks),
            "comment": s.extra.get(COMMENT, ""),
            "who": self.who,
            "undoable": self.undoable,
        }


class Annotations:
    """All rows.

    Args:
        store: in which they lie.
        folder: in which the table is written.
    """

    def __init__(self, store: Store, folder: Folder):
        self._store, self.table = store, TableFile(store, folder)
        self._writing = threading.Lock()

    def rows(self) -> list[Row]:
        """In the order in which they came."""
        undoable = {row["row"] for row in self._store.all("SELECT DISTINCT row FROM history")}
        found = self._store.all("SELECT * FROM rows WHERE id NOT IN (SELECT row FROM removed) ORDER BY place")
        return [_row(row, row["id"] in undoable) for row in found]

    def removed(self) -> list[Row]:
        """What was removed, the last first."""
        found = self._store.all("SELECT rows.* FROM rows JOIN removed ON row = id ORDER BY at DESC")
        return [_row(row, False) for row in found]

    def videos(self) -> set[str]:
        """Of all rows, and of those that were removed."""
        return {row["video"] for row in self._store.all("SELECT DISTINCT video FROM rows")}

    def row(self, id: str) -> Row | None:
        removed = self._store.one("SELECT 1 FROM removed WHERE row = ?", id)
        return None if removed else self._kept(id)

    def _kept(self, id: str) -> Row | None:
        """A row, also one that was removed."""
        found = self._store.one("SELECT * FROM rows WHERE id = ?", id)
        if found is None:
            return None
        return _row(found, self._store.one("SELECT 1 FROM history WHERE row = ?", id) is not None)

    def people(self) -> list[str]:
        """Who has marked, in the order of the columns `judge_1` …"""
        return [row["name"] for row in self._store.all("SELECT name FROM people ORDER BY number")]

    def add(self, video: str) -> Row:
        """A row for a video, or a further action in one.

        Raises:
            AqaError: there are too many.
        """
        with self._store.changing() as db:
            id = self._insert(db, _whole(video), {})
        return self._written(id)

    def add_all(self, videos: Iterable[str]) -> None:
        """A row for each video, and the table written once.

        Raises:
            AqaError: there are too many; none was added then.
        """
        with self._store.changing() as db:
            for video in videos:
                self._insert(db, _whole(video), {})
        self.write()

    def change(self, id: str, version: int, changes: Mapping, who: str = "") -> Row:
        """Change some of a row's values.

        Args:
            version: that the changes were made to.
            changes: by name: start_frame, end_frame, final_score, difficulty, group, split, caption, comment;
                `marks` by person, `classes` by column; None takes a value away.
            who: makes them.

        Raises:
            Conflict: it is of another version by now.
            NotInTable: the table cannot be written; the change is kept.
            AqaError: no such row, or a value that cannot be.
        """
        who = text_of(who, "person", "your name")
        with self._store.changing() as db:
            found = self._of(db, id, version)
            content = changed(json.loads(found["content"]), changes)
            _sample(found, content)  # whether the table takes it
            self._keep(db, found, content, who)
            for person in content["marks"]:
                db.execute("INSERT OR IGNORE INTO people(name) VALUES (?)", (person,))
            (people,) = db.execute("SELECT count(*) FROM people").fetchone()
            if people > MOST_PEOPLE:
                raise AqaError(f"{people} people have marked, and there may be at most {MOST_PEOPLE}")
            db.execute("INSERT INTO history(row, content) VALUES (?, ?)", (id, found["content"]))
            db.execute(
                "DELETE FROM history WHERE row = ? AND number NOT IN"
                " (SELECT number FROM history WHERE row = ? ORDER BY number DESC LIMIT ?)",
                (id, id, MOST_HISTORY),
            )
        return self._written(id)

    def undo(self, id: str, version: int, who: str = "") -> Row:
        """Take the last change of a row back.

        Raises:
            Conflict, NotInTable: as `change`.
            AqaError: no such row, or nothing to be undone.
        """
        with self._store.changing() as db:
            found = self._of(db, id, version)
            last = db.execute(
                "SELECT * FROM history WHERE row = ? ORDER BY number DESC LIMIT 1", (id,)
            ).fetchone()
            if last is None:
                raise AqaError(f"{found['sample_id']}: there is nothing to be undone")
            self._keep(db, found, json.loads(last["content"]), text_of(who, "person", "your name"))
            db.execute("DELETE FROM history WHERE number = ?", (last["number"],))
        return self._written(id)

    def remove(self, id: str, version: int) -> Row:
        """Take a row out of the table, until it is put back; its video stays where it is.

        Raises:
            Conflict, NotInTable: as `change`.
            AqaError: no such row.
        """
        with self._store.changing() as db:
            self._of(db, id, version)
            db.execute("INSERT INTO removed VALUES (?, ?)", (id, time.time()))
        return self._written(id)

    def put_back(self, id: str) -> Row:
        """Put a row that was removed where it was.

        Raises:
            NotInTable: as `change`.
            AqaError: it was not removed, or is there again.
        """
        with self._store.changing() as db:
            if not db.execute("DELETE FROM removed WHERE row = ?", (id,)).rowcount:
                raise AqaError("it is not among those that were removed; load the page again")
        return self._written(id)

    def write(self) -> None:
        """Write `annotations.csv`, and who is which judge, as the rows are.

        Raises:
            AqaError: they cannot be written; the old ones are intact, and so are the rows.
        """
        with self._writing:  # who comes last writes what is last
            self.table.write(self.samples(), self.people())

    def samples(self) -> list[Sample]:
        """The rows as the table has them."""
        people = self.people()
        return [_in_table(row, people) for row in self.rows()]

    def sample(self, row: Row) -> Sample:
        """A row as the table has it."""
        return _in_table(row, self.people())

    def begin_with_table(self) -> list[str]:
        """Take over the table that lies beside the videos when the app first starts there, found as
        `aqa-extract` does; an `annotations.csv` is kept as `annotations.began-with.csv`, others as they are.

        Returns:
            The videos that it names.

        Raises:
            AqaError: it cannot be read, more than one may be it, or it gives times in place of frames.
        """
        if self._store.one("SELECT 1 FROM rows"):
            return []
        path = self.table.beginning()
        if path is None:
            return []
        table = read_table(path)
        if table.times:
            raise AqaError(
                f"{path}: gives times in place of frames, which aqa-app does not change; use frames"
            )
        self.table.keep_beginning()
        for line in (f"Annotations: {path}, {len(table.samples)} row(s).", *table.notes):
            say(line)
        with self._store.changing() as db:
            # In the order of the columns, whoever marked the first row.
            for number in range(1, max((len(sample.judges) for sample in table.samples), default=0) + 1):
                db.execute("INSERT OR IGNORE INTO people(name) VALUES (?)", (f"judge {number}",))
            for sample in table.samples:
                given = enumerate(sample.judges, 1)
                marks = {f"judge {number}": mark for number, mark in given if math.isfinite(mark)}
                self._insert(db, replace(sample, judges=()), marks)
        self.write()
        return list(dict.fromkeys(sample.video for sample in table.samples))

    def _insert(self, db, sample: Sample, marks: Mapping[str, float]) -> str:
        (count, last) = db.execute("SELECT count(*), coalesce(max(place), 0) FROM rows").fetchone()
        if count >= MOST_ROWS:
            raise AqaError(f"there are {count:,} rows, and there may be no more; begin another folder")
        name, number, id = sample.sample_id, 2, new_id()
        while db.execute("SELECT 1 FROM rows WHERE sample_id = ?", (name,)).fetchone():
            name, number = f"{sample.sample_id}_{number}", number + 1
        db.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?, 1, ?, '', ?)",
            (id, last + 1, name, sample.video, json.dumps(_content(sample, marks)), time.time()),
        )
        for person in marks:
            db.execute("INSERT OR IGNORE INTO people(name) VALUES (?)", (person,))
        return id

    def _of(self, db, id: str, version: int):
        found = db.execute("SELECT * FROM rows WHERE id = ?", (id,)).fetchone()
        if found is None or db.execute("SELECT 1 FROM removed WHERE row = ?", (id,)).fetchone():
            raise AqaError("there is no such row, or it was removed; load the page again")
        if found["version"] != version:
            raise Conflict(_row(found, True))
        return found

    def _keep(self, db, found, content: dict, who: str) -> None:
        db.execute(
            "UPDATE rows SET content = ?, version = version + 1, who = ?, changed = ? WHERE id = ?",
            (json.dumps(content), who, time.time(), found["id"]),
        )

    def _written(self, id: str) -> Row:
        row = self._kept(id)
        assert row is not None
        try:
            self.write()
        except AqaError as error:
            raise NotInTable(row, error) from None
        return row


def _whole(video: str) -> Sample:
    return Sample(video.rpartition(".")[0] or video, video)


def _in_table(row: Row, people: list[str]) -> Sample:
    judges = tuple(row.marks.get(person, math.nan) for person in people) if row.marks else ()
    return replace(row.sample, judges=judges)


def _content(sample: Sample, marks: Mapping[str, float]) -> dict:
    """What of a row can be changed, as JSON, and what is kept as it is."""
    return {
        **{name: getattr(sample, name) for name in (*FRAMES, *NUMBERS, "split", "group", "fold", "caption")},
        "classes": dict(sample.classes),
        "marks": dict(marks),
        "extra": dict(sample.extra),
    }


def _row(found, undoable: bool) -> Row:
    content = json.loads(found["content"])
    return Row(
        found["id"], found["version"], _sample(found, content), content["marks"], found["who"], undoable
    )


def _sample(found, content: Mapping) -> Sample:
    named = {name: value for name, value in content.items() if name != "marks"}
    return Sample(found["sample_id"], found["video"], **named)
