"""A report of finished runs: one HTML page beside the paper's Table 1 and Figures 2 to 9, with its files as
PNG and CSV.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.links import refuse_link
from aqa_cache.errors import some

from ..errors import RunError
from .attachments import Attachments
from .contents import all_sections
from .families import read_families
from .html import GENERATOR, document
from .report import Report
from .results import find_runs


def write_report(
    runs: Sequence[str | Path],
    output: str | Path,
    title: str | None = None,
    preface: Sequence[str] | None = None,
    force: bool = False,
) -> Path:
    """Write the report of `runs` as one HTML page, with its figures as PNG and its numbers as CSV in a folder
    beside it.

    Runs that differ only in seed or fold are one row. The page is renamed into place when it is complete. The
    folder is `files_folder(output)`; files of an earlier report that are not among the new ones are removed
    from it.

    Args:
        runs: run folders as training writes them, or folders that hold run folders.
        output: the page. An earlier report is replaced, with the files that it names; any other file only
            with `force`.
        title: of the page; made from the number of runs if None.
        preface: paragraphs of plain text to stand on top.

    Returns:
        output.

    Raises:
        AqaError: a run is missing, unfinished or damaged, the output is not to be written, or matplotlib is
            missing.
    """
    output = Path(output)
    try:
        _check_output(output, force)
    except OSError as error:  # a folder that is unreadable, or a name that is too long
        raise RunError(
            f"{output}: cannot be looked at ({error.strerror}); name the report otherwise"
        ) from None
    found = find_runs(runs)
    if title is None:
        title = f"Action quality assessment: {len(found)} run{'' if len(found) == 1 else 's'}"
    attachments = Attachments(files_folder(output).name)
    sections = all_sections(Report.of(read_families(found)), title, preface or (), attachments)
    try:
        _write(output, document(title, *sections, files=sorted(attachments.files)), attachments.files, force)
    except OSError as error:
        raise RunError(
            f"{output}: the report cannot be written ({error}); choose another place for it"
        ) from error
    return output


def files_folder(output: Path) -> Path:
    """Where the files of a page lie: `report_files` for `report.html`."""
    return output.with_name(f"{output.stem}_files")


def _check_output(output: Path, force: bool) -> None:
    if output.is_dir():
        raise RunError(
            f"{output}: is a folder, expected the name of a file, such as {output / 'report.html'}"
        )
    if output.exists() and not output.is_file():
        raise RunError(f"{output}: is no plain file; name the report otherwise")
    folder = files_folder(output)
    refuse_link(folder, "the folder of the report's files")
    if folder.exists() and not folder.is_dir():
        raise RunError(
            f"{folder}: is a file, but a folder of this name is to hold the report's files; name the report"
            " otherwise"
        )
    if force:
        return
    if output.exists():
        if _files_of(output) is None:
            raise RunError(
                f"{output}: exists and is not a report; name the report otherwise, or give --force to"
                " replace it"
            )
    elif folder.is_dir() and (
        other := sorted(item.name for item in folder.iterdir() if item.suffix not in (".png", ".csv"))
    ):
        raise RunError(
            f"{folder}: is to hold the report's files, but holds other files ({', '.join(other[:3])}); "
            "name the report otherwise, or give --force to put them among these"
        )


def _files_of(page: Path) -> list[str] | None:
    """Names of the files of an earlier report; None if the file is no report."""
    try:
        head = page.read_bytes()[:100_000].decode("utf-8", errors="replace").partition("</head>")[0]
    except OSError as error:
        raise RunError(
            f"{page}: exists but cannot be read ({error.strerror}); name the report otherwise"
        ) from error
    if f'<meta name="generator" content="{GENERATOR}">' not in head:
        return None
    named = re.search(r'<meta name="files" content="([^"]*)">', head)
    return [
        name for name in (named[1].split() if named else ()) if re.fullmatch(r"[a-z0-9_]+\.(png|csv)", name)
    ]


def _write(output: Path, page: str, files: dict[str, bytes], force: bool) -> None:
    folder = files_folder(output)
    before = (_files_of(output) if output.exists() else None) or []
    others = sorted(name for name in files.keys() - set(before) if os.path.lexists(folder / name))
    if others and not force:
        raise RunError(
            f"{folder}: holds files of the names that the report's are to have ({some(others, 3)}), and no"
            " report beside it says that they are its own; name the report otherwise, or give --force to"
            " replace them"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, content in files.items():
            _replace(folder / name, content)
        _replace(output, page.encode("utf-8", "backslashreplace"))
    except BaseException:
        # No page names them, and the next report would take them for another's.
        for name in files.keys() - set(before) - set(others):
            (folder / name).unlink(missing_ok=True)
        raise
    for name in set(before) - files.keys():
        (folder / name).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
