"""A report of finished runs: one HTML page, with its figures and numbers as files beside it."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.links import refuse_link
from aqa_cache.disk.locks import FileLock
from aqa_cache.errors import some

from ..errors import RunError
from .attachments import Attachments
from .contents import all_parts
from .families import read_families
from .html import document, files_of_page
from .references import named_row
from .report import Report
from .results import find_runs
from .stills import Stills
from .unfinished import find_unfinished

_ENDINGS = (".png", ".pdf", ".csv", ".tex", ".md")


def write_report(
    runs: Sequence[str | Path],
    output: str | Path,
    title: str | None = None,
    preface: Sequence[str] | None = None,
    force: bool = False,
    reference: str | None = None,
    refresh: int | None = None,
    stills: Stills | None = None,
) -> Path:
    """Write the report of `runs` as one HTML page, with its figures (PNG, PDF) and its numbers (CSV, the
    results as LaTeX and Markdown too) in a folder beside it.

    Runs that differ only in seed or fold are one row. The page is renamed into place when it is complete. The
    folder is `files_folder(output)`; files of an earlier report that are not among the new ones are removed
    from it.

    Args:
        runs: run folders as training writes them, folders that hold run folders, and CSV files with the
            predictions of other programs (sample_id and score), each of which is a row.
        output: the page. An earlier report is replaced, with the files that it names; any other file only
            with `force`.
        title: of the page; made from the number of runs if None.
        preface: paragraphs of plain text on where the numbers come from.
        reference: the row that the others are held against: its name, its folder's, or the path of a run of
            it. None: the baseline, else the first.
        refresh: seconds after which the page loads itself again; runs that are not finished are on it, too.
            None: never.
        stills: gives pictures of the samples that are furthest off; None: the page has none.

    Returns:
        output.

    Raises:
        AqaError: a run is missing, unfinished or damaged, predictions do not fit, there is no such reference,
            the output is not to be written, or matplotlib is missing.
    """
    output = Path(output)
    try:
        _check_output(output, force)
    except OSError as error:  # a folder that is unreadable, or a name that is too long
        raise RunError(
            f"{output}: cannot be looked at ({error.strerror}); name the report otherwise"
        ) from None
    report = _read(runs, reference, refresh is not None)
    if title is None:
        count = len(report.results)
        title = f"Action quality assessment: {count} run{'' if count == 1 else 's'}"
    attachments = Attachments(files_folder(output).name)
    contents, content = all_parts(report, title, preface or (), attachments, stills)
    page = document(
        title,
        *content,
        contents=contents,
        files=sorted(attachments.files),
        more_style=_own("report.css"),
        script=_own("report.js"),
        refresh=refresh,
    )

    try:
        _write_alone(output, page, attachments.files, force)
    except OSError as error:
        raise _cannot(output, error) from error
    return output


def _read(names: Sequence[str | Path], reference: str | None, unfinished_too: bool) -> Report:
    """The rows of what was named."""
    predictions = [
        Path(name) for name in names if Path(name).suffix.lower() == ".csv" and os.path.isfile(name)
    ]
    folders = [name for name in names if Path(name) not in predictions]
    unfinished = find_unfinished(folders) if unfinished_too else []
    if predictions and not folders:
        raise RunError(f"{predictions[0]}: has no true scores; name the runs that it is to stand beside, too")
    families = read_families(find_runs(folders, may_be_none=unfinished_too), predictions)
    held_against = None if reference is None else named_row(reference, families)
    return Report.of(families, held_against, unfinished)


def _own(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


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
        other := sorted(
            item.name
            for item in folder.iterdir()
            if item.suffix not in _ENDINGS and not item.name.startswith(".")
        )
    ):
        raise RunError(
            f"{folder}: is to hold the report's files, but holds other files ({', '.join(other[:3])}); "
            "name the report otherwise, or give --force to put them among these"
        )


def _files_of(page: Path) -> list[str] | None:
    """Names of the files of an earlier report; None if the file is no report."""
    try:
        named = files_of_page(page)
    except OSError as error:
        raise RunError(
            f"{page}: exists but cannot be read ({error.strerror}); name the report otherwise"
        ) from error
    if named is None:
        return None
    return [name for name in named if re.fullmatch(r"[a-z0-9_]+\.(png|pdf|csv|tex|md)", name)]


def _cannot(output: Path, error: OSError) -> RunError:
    return RunError(f"{output}: the report cannot be written ({error}); choose another place for it")


def _write_alone(output: Path, page: str, contents: dict[str, bytes], force: bool) -> None:
    """Write when no other process writes a report there."""
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output.with_name(f".{output.name}.lock"), quiet=True)
    with lock.held("writes this report", lambda error: _cannot(output, error)):
        _check_output(output, force)  # as the other may have left it
        _write(output, page, contents, force)


def _write(output: Path, page: str, contents: dict[str, bytes], force: bool) -> None:
    folder = files_folder(output)
    before = (_files_of(output) if output.exists() else None) or []
    others = sorted(name for name in contents.keys() - set(before) if os.path.lexists(folder / name))
    if others and not force:
        raise RunError(
            f"{folder}: holds files of the names that the report's are to have ({some(others, 3)}), and no"
            " report beside it says that they are its own; name the report otherwise, or give --force to"
            " replace them"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, content in contents.items():
            _replace(folder / name, content)
        _replace(output, page.encode("utf-8", "backslashreplace"))
    except BaseException:
        # No page names them, and the next report would take them for another's.
        for name in contents.keys() - set(before) - set(others):
            (folder / name).unlink(missing_ok=True)
        raise
    for name in set(before) - contents.keys():
        (folder / name).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
