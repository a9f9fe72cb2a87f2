"""The law of strangers' files: whatever the bytes, reading ends well, or with an error of ours."""

import random
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aqa_cache.errors import AqaError

READ, REFUSED, WRONG = "read", "refused", "wrong"
# What other libraries say where memory was asked for that is not there; an error of ours that quotes it came
# too late.
_MEMORY = re.compile(r"MemoryError|Unable to allocate|not enough memory|can't allocate|bad_alloc", re.I)
_NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**48,
    2**63 - 1,
    2**64 - 1,
)
_TEXTS = (
    *(b"0", b"-1", b"-5", b"1e6", b"1e999", b"NaN", b"null", b"true", b'"x"', b"[]", b"{}", b"[[]]", b'""'),
    *(
        b"1" * 5000,
        b'"\\ud800"',
        b'"\\u0000"',
        b"[" * 100_000,
        b'"' + b"y" * 70_000 + b'"',
        b"18446744073709551616",
    ),
)
_TOKEN = re.compile(rb'"[^"]{0,80}"|-?\d+(?:\.\d+)?(?:e-?\d+)?|true|false|null')


@dataclass(frozen=True)
class Kind:
    """A kind of file that a stranger may have made.

    Args:
        make: given an empty folder, writes whole files of this kind, and what else must lie beside them;
            returns those that are changed, files or folders.
        read: reads one as a command does, everything in it.
        changes: what is done to a copy of one, beside changes of its bytes; of a folder, nothing else is
            done.
    """

    make: Callable[[Path], Sequence[Path]]
    read: Callable[[Path], object]
    changes: Sequence[Callable[[Path, random.Random], object]] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one input: `READ`, `REFUSED` or `WRONG`, and what was said."""

    what: str
    said: str = ""


def fuzzed(kind: Kind, whole: Path, folder: Path, rng: random.Random) -> Path:
    """A changed copy of a whole file, or folder, in an empty folder."""
    path = folder / whole.name
    if whole.is_dir():
        shutil.copytree(whole, path)
    else:
        shutil.copy(whole, path)
    changes = [*kind.changes]
    if path.is_file():
        changes += [change_bytes] * max(1, len(kind.changes) // 2)
    chosen = [rng.choice(changes) for _ in range(rng.choice((1, 1, 2, 4)))]
    # Bytes last: what changes a field opens the file, and a library may crash that writes into a damaged one.
    for change in sorted(chosen, key=lambda change: change is change_bytes):
        change(path, rng)
    return path


def outcome(kind: Kind, path: Path) -> Outcome:
    """Read a file."""
    try:
        kind.read(path)
    except AqaError as error:
        said = str(error)
        try:
            said.encode()
        except UnicodeEncodeError:
            return Outcome(WRONG, f"a message that cannot be printed: {said!r:.300}")
        return Outcome(WRONG if _MEMORY.search(said) or len(said) > 20_000 else REFUSED, said[:500])
    except Exception as error:
        return Outcome(WRONG, f"{type(error).__name__}: {error}"[:500])
    return Outcome(READ)


def or_not(change: Callable[[Path, random.Random], object]) -> Callable[[Path, random.Random], None]:
    """The same, where an earlier change has not left a file that it cannot be made to."""

    def changed(path: Path, rng: random.Random) -> None:
        try:
            change(path, rng)
        except Exception:
            return

    return changed


def change_text(path: Path, rng: random.Random) -> None:
    """Put another value in the place of one number, text or word of a JSON or CSV file."""
    content = path.read_bytes()
    if tokens := list(_TOKEN.finditer(content)):
        token = rng.choice(tokens)
        path.write_bytes(content[: token.start()] + rng.choice(_TEXTS) + content[token.end() :])


def change_bytes(path: Path, rng: random.Random) -> None:
    """Flip, overwrite, cut, take out or double some bytes, or put a number of 1 to 8 bytes over them."""
    content = bytearray(path.read_bytes())
    if not content:
        return
    start = rng.randrange(len(content))
    # Headers are at the beginning more often than not.
    start = min(start, rng.randrange(len(content)), rng.choice((len(content), 4096)) - 1)
    length = min(rng.choice((1, 2, 4, 8, 64, 4096)), len(content) - start)
    what = rng.randrange(8)
    if what == 0:
        content[start] ^= 1 << rng.randrange(8)
    elif what == 1:
        content[start] = rng.randrange(256)
    elif what == 2:
        content[start : start + length] = bytes(length)
    elif what == 3:
        content[start : start + length] = rng.randbytes(length)
    elif what == 4:
        del content[start:]
    elif what == 5:
        del content[start : start + length]
    elif what == 6:
        content[start:start] = content[start : start + length]
    else:
        size = rng.choice((1, 2, 4, 8))
        number = rng.choice(_NUMBERS) % 256**size
        content[start : start + size] = number.to_bytes(size, rng.choice(("little", "big")))
    path.write_bytes(content)
