"""The process that does one job of the queue: told what on its standard input, it says how far it is, one
JSON object a line.

It ends when its input does, that is, when the server is gone.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aqa_cache.disk.locks import FileLock
from aqa_cache.errors import AqaError
from aqa_cache.logs import handled
from aqa_cache.machine.heap import keep_freed_memory
from aqa_cli.errors import of_the_machine

from .folder import Folder

SAID = 3  # exit code: the last line says why
LONGEST_TEXT = 2000  # characters
_EVERY = 0.25  # seconds between two lines


def main() -> int:
    folder = Folder(Path(sys.argv[1]))
    asked = json.loads(sys.stdin.readline())
    keep_freed_memory()
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    # The worker of a server that was killed may not be gone yet: nothing is done twice.
    lock = FileLock(folder.root / ".work.lock")
    lock.acquire(wait=True)
    try:
        os.chdir(folder.root)
        with handled(lambda record: say(record.getMessage())):
            note = _JOBS[asked["kind"]](folder, asked)
        if note:
            _tell(note=note[:LONGEST_TEXT])
        return 0
    except AqaError as error:
        say(str(error))
    except (OSError, MemoryError, RuntimeError, ImportError, UnicodeEncodeError) as error:
        failing = of_the_machine(error)
        if failing is None:
            raise
        say(failing)
    finally:
        lock.release()
    return SAID


def say(line: str, share: float | None = None) -> None:
    """Tell the server, and whoever looks at the page."""
    _tell(said=line[:LONGEST_TEXT], share=share)


def _tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _end_with_the_server() -> None:
    while sys.stdin.readline():
        pass
    os._exit(1)


class _Told:
    """`say` at most four times a second."""

    def __init__(self):
        self._next = 0.0

    def __call__(self, line: str, share: float | None) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + _EVERY
            say(line, share)


def _prepare(folder: Folder, asked: dict) -> None:
    from .preview import write_preview

    told = _Told()
    write_preview(
        folder.videos / asked["file"],
        folder.previews / asked["video"],
        lambda done, total: told(
            f"frame {done}" + (f" of {total}" if total else ""), done / total if total else None
        ),
    )


def _score(folder: Folder, asked: dict) -> None:
    from .scoring import write_score

    write_score(folder, asked, say, _extraction(_Told(), "looking at the video"))


def _learn(folder: Folder, asked: dict) -> str:
    from .learning import learn

    return learn(folder, asked, say, _extraction(_Told(), "making features"))


def _extraction(told: _Told, doing: str) -> Callable:
    def progress(state) -> None:
        share = state.clips / state.clips_total if state.clips_total else None
        told(f"{doing}: {state.clips} of {state.clips_total} clips", share)

    return progress


_JOBS = {"prepare": _prepare, "score": _score, "learn": _learn}

if __name__ == "__main__":
    sys.exit(main())
