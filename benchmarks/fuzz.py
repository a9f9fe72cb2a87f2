"""Strangers' files of every kind, thousands of each: whatever the bytes, reading ends well or with one error
of the project's own, in bounded time and memory. Into RESULTS.md.

python benchmarks/fuzz.py --minutes 10
python benchmarks/fuzz.py --only "feature cache" --first 1234 --inputs 1   # one again, with its traceback

A kind is an entry of `KINDS` in tests/fuzzed.py. To add some, write tests/fuzzed_WING.py with a dict `KINDS`
of `fuzzing.Kind(make, read, changes)` by name, and take it into the one of tests/fuzzed.py: `make` writes
whole files, `read` reads one as a command does, `changes` alter a copy (`fuzzing.change_text` for JSON and
CSV); bytes are changed anyway. What an input is follows from kind and seed alone.
"""

import argparse
import itertools
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from results import write_section

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fuzzed import KINDS as SHORT_KINDS
from fuzzed import LONG_KINDS
from fuzzing import READ, REFUSED, WRONG, fuzzed, outcome

KINDS = {**SHORT_KINDS, **LONG_KINDS}
SECONDS, MEMORY = 20, 1 << 30  # that one input may take; memory beyond what is in use before
WARM_SECONDS = 120  # imports, and whole files
ENDLESS, KILLED = "too long", "killed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=KINDS, help="this kind alone, and nothing is written to RESULTS.md")
    parser.add_argument("--minutes", type=float, help="for all kinds together")
    parser.add_argument("--inputs", type=int, default=200, help="of each kind, unless --minutes is given")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    names = [options.only] if options.only else list(KINDS)
    if options.only and options.inputs == 1:
        return _again(options.only, options.first)
    rows, wrong, total, started = [], [], 0, time.perf_counter()
    for name in names:
        seconds = 60 * options.minutes / len(names) if options.minutes else None
        counts, slowest, peak, found = _fuzz(name, options.first, options.inputs, seconds)
        inputs = sum(counts.values())
        total += inputs
        wrong += found
        bad = inputs - counts[READ] - counts[REFUSED]
        rows.append(
            f"| {name} | {inputs} | {counts[READ]} | {counts[REFUSED]} | {bad} | {slowest:.2f} | {peak:.0f} |"
        )
        print(rows[-1], *found, sep="\n", flush=True)
    minutes = (time.perf_counter() - started) / 60
    lines = [
        (
            f"{total} inputs of {len(names)} kinds in {minutes:.0f} minutes, each"
            " a whole file that was changed at random: bytes, and where the kind has fields, these. Read or"
            " refused with one error of the project's own is right; anything else, more than"
            f" {SECONDS} s, or more than {MEMORY >> 30} GiB beyond what was in use before, is wrong. The"
            " memory is what the process grew by, over all inputs of its kind."
        ),
        "",
        "| kind | inputs | read | refused | wrong | slowest, s | memory, MiB |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    if not options.only:
        command = (
            "python benchmarks/fuzz.py "
            + (f"--minutes {options.minutes:g}" if options.minutes else f"--inputs {options.inputs}")
            + (f" --first {options.first}" if options.first else "")
        )
        write_section("fuzz", "Strangers' files", command, lines)
    sys.exit(bool(wrong))


def _fuzz(
    name: str, first: int, inputs: int, seconds: float | None
) -> tuple[Counter, float, float, list[str]]:
    """Inputs of a kind, each read in a process of its own kind, which is started again where one ends it.

    Returns:
        How many inputs ended in which way, seconds of the slowest, MiB that a process grew by, and a line for
        each that went wrong.
    """
    counts, slowest, peak, wrong, seed = Counter(), 0.0, 0.0, [], first
    started = time.perf_counter()

    def more() -> bool:
        return time.perf_counter() - started < seconds if seconds else seed < first + inputs

    with tempfile.TemporaryDirectory() as folder:
        while more():
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            process = multiprocessing.get_context("spawn").Process(
                target=_read_all, args=(theirs, name, seed, folder)
            )
            process.start()
            theirs.close()
            limit = WARM_SECONDS
            try:
                while more():
                    if not ours.poll(limit):
                        raise TimeoutError
                    got = ours.recv()
                    limit = SECONDS
                    if got is None:  # whole files are read
                        continue
                    what, said, took, grown = got
                    counts[what] += 1
                    slowest, peak = max(slowest, took), max(peak, grown)
                    if what == WRONG:
                        wrong.append(f"{name}, seed {seed}: {said}")
                    seed += 1
            except (TimeoutError, EOFError) as error:
                what = ENDLESS if isinstance(error, TimeoutError) else KILLED
                if limit == WARM_SECONDS:
                    raise SystemExit(f"{name}: a whole file cannot be read ({what})") from None
                counts[what] += 1
                wrong.append(f"{name}, seed {seed}: {what}")
                seed += 1
            finally:
                process.kill()
                process.join()
    return counts, slowest, peak, wrong


def _read_all(connection, name: str, first: int, folder: str) -> None:
    """Read one input after another, in a process of little memory, and say how each ended."""
    warnings.simplefilter("ignore")
    kind, place = KINDS[name], Path(folder)
    for left in place.iterdir():
        shutil.rmtree(left)
    (place / "whole").mkdir()
    whole = list(kind.make(place / "whole"))
    for path in whole:
        kind.read(path)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection.send(None)
    for seed in itertools.count(first):
        rng, inside = random.Random(f"{name} {seed}"), place / "changed"
        inside.mkdir()
        path = fuzzed(kind, rng.choice(whole), inside, rng)
        started = time.perf_counter()
        got = outcome(kind, path)
        took = time.perf_counter() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        connection.send((got.what, got.said, took, grown))
        shutil.rmtree(inside)


def _again(name: str, seed: int) -> None:
    """One input, here, with whatever it raises; it is left where it can be looked at."""
    kind, place, rng = KINDS[name], Path(tempfile.mkdtemp(prefix="fuzz-")), random.Random(f"{name} {seed}")
    (place / "whole").mkdir()
    (place / "changed").mkdir()
    path = fuzzed(kind, rng.choice(list(kind.make(place / "whole"))), place / "changed", rng)
    print(path)
    kind.read(path)


if __name__ == "__main__":
    main()
