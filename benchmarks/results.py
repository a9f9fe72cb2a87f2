"""RESULTS.md: one section per benchmark, each written by the script that measured it, so that no number is
typed by hand.
"""

import platform
import re
from datetime import date
from pathlib import Path

PATH = Path(__file__).with_name("RESULTS.md")
_HEAD = (
    "# Results\n\nEvery section is written by the command it names; what is not here was not measured."
    " Machines here are shared, so absolute times are noisy and ratios are what to read.\n"
)


def write_section(name: str, title: str, command: str, lines: list[str]) -> None:
    """Put a section into RESULTS.md, in place of an earlier one of the same name.

    Args:
        name: of the section, in a comment around it.
        command: what made it, as a person would type it.
        lines: Markdown.
    """
    text = PATH.read_text() if PATH.exists() else _HEAD
    body = "\n".join(["", f"## {title}", "", f"`{command}`, {date.today()}, {machine()}", "", *lines, ""])
    section = f"<!-- begin {name} -->{body}<!-- end {name} -->\n"
    pattern = re.compile(rf"<!-- begin {name} -->.*?<!-- end {name} -->\n", re.S)
    text = pattern.sub(lambda _: section, text) if pattern.search(text) else text + "\n" + section
    PATH.write_text(text)


def machine() -> str:
    """Processor, cores and versions, for the line under a section's title."""
    import torch

    from aqa_cache.machine.devices import device_name

    threads, device = torch.get_num_threads(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return (
        f"{device_name(device)}, {threads} threads, torch {torch.__version__}, Python"
        f" {platform.python_version()}"
    )
