"""What the app knows, in one SQLite file: whole at every instant, also when the process is killed."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aqa_cache.errors import AqaError

VERSION = 1
_TABLES = """
CREATE TABLE videos (
    id TEXT PRIMARY KEY, file TEXT NOT NULL UNIQUE, said TEXT NOT NULL, bytes INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', frames INTEGER, added REAL NOT NULL
);
CREATE TABLE rows (
    id TEXT PRIMARY KEY, place INTEGER NOT NULL, sample_id TEXT NOT NULL UNIQUE, video TEXT NOT NULL,
    version INTEGER NOT NULL, content TEXT NOT NULL, who TEXT NOT NULL DEFAULT '', changed REAL NOT NULL
);
CREATE TABLE history (
    number INTEGER PRIMARY KEY AUTOINCREMENT, row TEXT NOT NULL REFERENCES rows(id), content TEXT NOT NULL
);
CREATE TABLE people (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    asked TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    made REAL NOT NULL, ended REAL
);
CREATE INDEX history_of_row ON history(row);
CREATE INDEX jobs_by_state ON jobs(state);
"""
_NAMES = {"videos", "rows", "history", "people", "jobs"}


class Store:
    """The file, open; of one process at a time, of any of its threads.

    Args:
        path: made if need be.

    Raises:
        AqaError: it is none of ours, damaged, or cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA foreign_keys = ON")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT")
            damage = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            there = {row["name"] for row in self._db.execute("SELECT name FROM sqlite_master")}
            if version <= VERSION and (damage != "ok" or not _NAMES <= there):
                raise sqlite3.DatabaseError("damaged" if damage != "ok" else "a database of another program")
            if version <= VERSION:
                self._db.execute("CREATE TABLE IF NOT EXISTS written (sha256 TEXT PRIMARY KEY)")
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS removed (row TEXT PRIMARY KEY REFERENCES rows(id),"
                    " at REAL NOT NULL)"
                )
        except sqlite3.Error as error:
            raise AqaError(
                f"{path}: cannot be used ({error}); move it away, or choose another --folder"
            ) from None
        if version > VERSION:
            raise AqaError(f"{path}: was written by a newer version of aqa-app; upgrade aqa-cache")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A block whose changes are kept all together, or, where it raises, not at all.

        Raises:
            AqaError: they cannot be written (disk full).
        """
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:  # a full disk may have ended it
                    with suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise AqaError(f"{self.path}: cannot be written ({error}); nothing was changed") from None
                raise

    def all(self, query: str, *values) -> list[sqlite3.Row]:
        """The rows that a query gives."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def one(self, query: str, *values) -> sqlite3.Row | None:
        """Its first row."""
        with self._lock:
            return self._db.execute(query, values).fetchone()
