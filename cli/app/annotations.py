"""Annotations of the videos: rows that several people change, their history, and the table made of them.

`videos/annotations.csv` is the project's own table (docs/annotations.md), rewritten whole after every change.
People's marks of a clip are its `judge_1`, `judge_2`, …, one column a person; `judges.csv` says who is which.
"""

import json
import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from aqa_cache.annotations import FILE_NAME, SPLITS, Sample, read_table, write_annotations
from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.csv_file import write_rows
from aqa_cache.errors import AqaError

from .folder import Folder, new_id
from .store import Store

COMMENT = "comment"
BEGAN_WITH, JUDGES = "annotations.began-with.csv", "judges.csv"
_LONGEST = {"comment": 5000, "caption": 5000, "group": 200, "person": 100, "class": 100}
MOST_PEOPLE, MOST_CLASSES, MOST_ROWS, MOST_HISTORY = 50, 50, 20_000, 200
_NUMBERS = ("final_score", "difficulty")
_FRAMES = ("start_frame", "end_frame")


class Conflict(AqaError):
    """Somebody else has changed the row meanwhile.

    Args:
        row: as it is now.
    """

    def __init__(self, row: "Row"):
        super().__init__(f"{row.sample_id}: {row.who or 'somebody'} has changed it meanwhile")
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
        self._store, self._folder = store, folder
        self._writing = threading.Lock()

    def rows(self) -> list[Row]:
        """In the order in which they came."""
        undoable = {row["row"] for row in self._store.all("SELECT DISTINCT row FROM history")}
        found = self._store.all("SELECT * FROM rows ORDER BY place")
        return [_row(row, row["id"] in undoable) for row in found]

    def row(self, id: str) -> Row | None:
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
            AqaError: no such row, or a value that cannot be.
        """
        who = _text(who, "person", "your name")
        with self._store.changing() as db:
            found = self._of(db, id, version)
            content = _changed(json.loads(found["content"]), changes)
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
            Conflict: it is of another version by now.
            AqaError: no such row, or nothing to be undone.
        """
        with self._store.changing() as db:
            found = self._of(db, id, version)
            last = db.execute(
                "SELECT * FROM history WHERE row = ? ORDER BY number DESC LIMIT 1", (id,)
            ).fetchone()
            if last is None:
                raise AqaError(f"{found['sample_id']}: there is nothing to be undone")
            self._keep(db, found, json.loads(last["content"]), _text(who, "person", "your name"))
            db.execute("DELETE FROM history WHERE number = ?", (last["number"],))
        return self._written(id)

    def write(self) -> None:
        """Write `annotations.csv`, and who is which judge, as the rows are.

        Raises:
            AqaError: they cannot be written; the old ones are intact, and so are the rows.
        """
        with self._writing:  # who comes last writes what is last
            with replacing(self._folder.videos / FILE_NAME) as temporary:
                write_annotations(temporary, self.samples())
            with replacing(self._folder.videos / JUDGES) as temporary:
                names = ((f"judge_{number}", name) for number, name in enumerate(self.people(), 1))
                write_rows(temporary, [("column", "name"), *names])

    def samples(self) -> list[Sample]:
        """The rows as the table has them."""
        people = self.people()
        return [_in_table(row, people) for row in self.rows()]

    def sample(self, row: Row) -> Sample:
        """A row as the table has it."""
        return _in_table(row, self.people())

    def begin_with_table(self) -> list[str]:
        """Take over an `annotations.csv` that lies beside the videos when the app first starts there; it is
        kept as `annotations.began-with.csv`.

        Returns:
            The videos that it names.

        Raises:
            AqaError: it cannot be read, or gives times in place of frames.
        """
        path, kept = self._folder.videos / FILE_NAME, self._folder.videos / BEGAN_WITH
        if self._store.one("SELECT 1 FROM rows") or not (path.is_file() or kept.is_file()):
            return []
        # Where the process was killed in between, what is kept is what there was.
        table = read_table(kept if kept.is_file() else path)
        if table.times:
            raise AqaError(
                f"{path}: gives times in place of frames, which aqa-app does not change; use frames"
            )
        if not kept.is_file():
            with replacing(kept) as temporary:
                temporary.write_bytes(path.read_bytes())
        with self._store.changing() as db:
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
        if found is None:
            raise AqaError("there is no such row; load the page again")
        if found["version"] != version:
            raise Conflict(_row(found, True))
        return found

    def _keep(self, db, found, content: dict, who: str) -> None:
        db.execute(
            "UPDATE rows SET content = ?, version = version + 1, who = ?, changed = ? WHERE id = ?",
            (json.dumps(content), who, time.time(), found["id"]),
        )

    def _written(self, id: str) -> Row:
        self.write()
        row = self.row(id)
        assert row is not None
        return row


def _whole(video: str) -> Sample:
    return Sample(video.rpartition(".")[0] or video, video)


def _in_table(row: Row, people: list[str]) -> Sample:
    judges = tuple(row.marks.get(person, math.nan) for person in people) if row.marks else ()
    return replace(row.sample, judges=judges)


def _content(sample: Sample, marks: Mapping[str, float]) -> dict:
    """What of a row can be changed, as JSON, and what is kept as it is."""
    return {
        **{
            name: getattr(sample, name) for name in (*_FRAMES, *_NUMBERS, "split", "group", "fold", "caption")
        },
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


def _changed(content: dict, changes: Mapping) -> dict:
    """A row's content with changes, each of which is looked at."""
    made = {**content, **{name: dict(content[name]) for name in ("classes", "marks", "extra")}}
    for name, value in changes.items():
        if name in _FRAMES:
            made[name] = _frame(name, value)
        elif name in _NUMBERS:
            made[name] = _number(name, value, above_zero=name == "difficulty")
        elif name in ("group", "caption"):
            made[name] = _text(value, name, name) or None
        elif name == "split":
            if value not in (None, "", *SPLITS):
                raise AqaError(f"split is {value!r:.60}, expected one of {', '.join(SPLITS)} or nothing")
            made[name] = value or None
        elif name == COMMENT:
            _put(made["extra"], COMMENT, _text(value, name, name))
        elif name in ("marks", "classes") and isinstance(value, Mapping):
            for key, item in value.items():
                if name == "marks":
                    _put(made[name], _named(key, "person"), _number(f"the mark of {key!r:.60}", item))
                else:
                    _put(made[name], _class_name(key), _text(item, "class", f"class_{key!r:.60}"))
        else:
            raise AqaError(f"{name!r:.60} is nothing of a row that can be changed so")
    if made["start_frame"] is not None and made["end_frame"] is not None:
        if made["end_frame"] <= made["start_frame"]:
            raise AqaError(
                f"the end, frame {made['end_frame']}, must be after the start, frame {made['start_frame']}"
            )
    if len(made["classes"]) > MOST_CLASSES:
        raise AqaError(f"{len(made['classes'])} classes, and a row may have {MOST_CLASSES}")
    return made


def _put(values: dict, name: str, value) -> None:
    if value in (None, ""):
        values.pop(name, None)
    else:
        values[name] = value


def _frame(name: str, value) -> int | None:
    if value in (None, ""):
        return None
    if type(value) is not int or not 0 <= value < 10**9:
        raise AqaError(f"{name} is {value!r:.60}, expected the number of a frame, from 0 up")
    return value


def _number(name: str, value, above_zero: bool = False) -> float | None:
    if value in (None, ""):
        return None
    if type(value) not in (int, float) or not abs(value) <= 1e9:  # nor NaN
        raise AqaError(f"{name} is {value!r:.60}, expected a number")
    if above_zero and value <= 0:
        raise AqaError(f"{name} is {value:g}, it must be greater than 0; leave it empty if there is none")
    return float(value)


def _text(value, kind: str, name: str) -> str:
    """Text that a table can hold, without white space at its ends."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST[kind]:
        raise AqaError(f"{name}: expected text of at most {_LONGEST[kind]:,} characters")
    if "\0" in value or not _is_unicode(value):
        raise AqaError(f"{name}: holds a sign that no table can hold")
    return value.strip()


def _named(value, kind: str) -> str:
    name = _text(value, kind, "the name")
    if not name:
        raise AqaError("a name is empty; type one")
    return name


def _class_name(value) -> str:
    name = _named(value, "class")
    if not all(character.isalnum() or character in "_ -" for character in name):
        raise AqaError(f"{name!r:.60} is no name of a class; use letters, digits, spaces, - and _")
    return name.replace(" ", "_")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
