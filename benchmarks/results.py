"""RESULTS.md: one section per benchmark, each written by the script that measured it, so that no number is
typed by hand.

A machine that is there for minutes writes into a file of its own, which is merged afterwards:

    AQA_RESULTS=figures.md python benchmarks/bench_train.py
    python benchmarks/results.py merge figures.md
"""

import argparse
import os
import platform
import re
import sys
import textwrap
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
# Where sections go instead of RESULTS.md.
VARIABLE = "AQA_RESULTS"
UNFINISHED = "Unfinished: stopped before its last row."
WIDTH = 110
_HEAD = (
    "# Results\n\nEvery section is written by the command it names; what is not here was not measured."
    " Machines here are shared,\nso absolute times are noisy and ratios are what to read.\n"
)
_SECTION = re.compile(r"<!-- begin (?P<name>.+?) -->\n.*?<!-- end (?P=name) -->\n", re.S)


def write_section(name: str, title: str, command: str, lines: list[str], *, unfinished: bool = False) -> None:
    """Put a section into RESULTS.md, or the file that `AQA_RESULTS` names, in place of an earlier one of the
    same name.

    Args:
        name: of the section, in a comment around it.
        command: what made it, as a person would type it.
        lines: Markdown.
        unfinished: rows are still to come. Said in the section, which is written only into a file of its own,
            so that what was made is kept when the benchmark is stopped; RESULTS.md gets whole sections.
    """
    path = Path(os.environ.get(VARIABLE) or RESULTS)
    if unfinished:
        if path.resolve() == RESULTS.resolve():
            return
        lines = [*lines, "", UNFINISHED]
    made_by = f"`{command}`, {date.today()}, {machine()}"
    body = "\n".join(["", f"## {title}", "", wrapped(made_by), "", *map(wrapped, lines), ""])
    _put(path, {name: f"<!-- begin {name} -->{body}<!-- end {name} -->\n"})


def wrapped(line: str) -> str:
    """A line of prose or of a list in lines of at most 110 columns, code kept whole; a row of a table as it
    is.
    """
    if line.startswith("|") or len(line) <= WIDTH:
        return line
    start = len(line) - len(line.lstrip("\n"))
    kept = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\0"), line[start:])
    indent = "  " if kept.startswith("- ") else ""
    return "\n" * start + textwrap.fill(
        kept, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ).replace("\0", " ")


def merge(paths: list[Path], into: Path | None = None) -> list[str]:
    """Put all sections of other files into RESULTS.md, in place of earlier ones of the same names.

    Args:
        paths: files of sections, or folders of such files, `*.md`; folders within them are not entered.
        into: instead of RESULTS.md.

    Returns:
        A line for each section.

    Raises:
        SystemExit: a path holds no section.
    """
    said = []
    for path in paths:
        files = sorted(path.glob("*.md")) if path.is_dir() else [path]
        found = (each for file in files for each in _SECTION.finditer(file.read_text()))
        sections = {each["name"]: each[0] for each in found}
        if not sections:
            raise SystemExit(f"{path} holds no section of results; expected what `write_section` writes")
        _put(into or RESULTS, sections)
        said += [name + (" (unfinished)" if UNFINISHED in text else "") for name, text in sections.items()]
    return said


def _put(path: Path, sections: dict[str, str]) -> None:
    text = path.read_text() if path.exists() else _HEAD
    for name, section in sections.items():
        there = next((found[0] for found in _SECTION.finditer(text) if found["name"] == name), None)
        text = text.replace(there, section) if there else text + "\n" + section
    # A benchmark may be killed while it writes.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def machine() -> str:
    """Processor, cores and versions, for the line under a section's title."""
    import torch

    from aqa_cache.machine.devices import device_name

    threads, device = torch.get_num_threads(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return (
        f"{device_name(device)}, {threads} threads, torch {torch.__version__}, Python"
        f" {platform.python_version()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    merging = commands.add_parser("merge", help="sections of other files into RESULTS.md")
    merging.add_argument("paths", nargs="+", type=Path, help="files of sections, or folders of *.md")
    writing = commands.add_parser("write", help="a section whose lines come from standard input")
    for argument in ("name", "title", "made_by"):
        writing.add_argument(argument)
    options = parser.parse_args()
    if options.command == "merge":
        print("\n".join(merge(options.paths)))
    else:
        write_section(options.name, options.title, options.made_by, sys.stdin.read().splitlines())


if __name__ == "__main__":
    main()
