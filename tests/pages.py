"""The pages of the documentation, and the commands and programs in them."""

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence

import click
from places import ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCRIPTS = _PROJECT["scripts"]

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shell_blocks(text: str) -> list[str]:
    """Lines of code for a shell: fenced, or indented commands of this project; continued lines joined."""
    lines = []
    for block in re.findall(r"^```sh\n(.*?)^```|^((?:    aqa-[^\n]*\n)+)", text, re.M | re.S):
        lines += "".join(block).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip()]


def commands(text: str) -> Iterator[list[str]]:
    """The commands of this project in a page, in words; of another that starts one, that one."""
    for line in shell_blocks(text):
        for part in re.split(r"&&|;|\||&$", line.split("  #")[0]):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a quote that goes on around it
                words = part.replace('"', "").replace("'", "").split()
            words = [word for inner in words for word in (inner.split() if "aqa-" in inner else [inner])]
            places = [number for number, word in enumerate(words) if word in SCRIPTS]
            if places and "…" not in words:
                yield [word for word in words[places[0] :] if word != "…"]


def console(words: Sequence[str]) -> tuple[click.Command, Sequence[str]]:
    """The click command, a subcommand where one is named, and what it is given."""
    module, function = SCRIPTS[words[0]].split(":")
    command, given = getattr(importlib.import_module(module), function), words[1:]
    if isinstance(command, click.Group) and given:
        return command.commands[given[0]], given[1:]
    return command, given


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def known_extras() -> set[str]:
    return set(_PROJECT["optional-dependencies"])
