"""A report of finished runs: one HTML page beside the paper's Table 1 and Figures 2 to 9, and its figures as PNG."""

import re
from collections.abc import Sequence
from pathlib import Path

from aqa_cache.atomic import replacing

from .errors import RunError
from .page import GENERATOR, document
from .results import find_runs, read_results
from .sections import all_sections


def write_report(
    runs: Sequence[str | Path],
    output: str | Path,
    title: str | None = None,
    preface: Sequence[str] | None = None,
    force: bool = False,
) -> Path:
    """Write the report of `runs` as one HTML page, and its figures as PNG files in a folder beside it.

    The page is renamed into place when it is complete. The folder is `figures_folder(output)`; figures of an earlier
    report that are not among the new ones are removed from it.

    Args:
        runs: run folders as training writes them, or folders that hold run folders.
        output: the page. An earlier report is replaced, any other file only with `force`.
        title: of the page; made from the number of runs if None.
        preface: paragraphs of plain text to stand on top.

    Returns:
        output.

    Raises:
        AqaError: a run is missing, unfinished or damaged, the output is not to be written, or matplotlib is missing.
    """
    output = Path(output)
    _check_output(output, force)
    results = read_results(find_runs(runs))
    pngs: dict[str, bytes] = {}
    if title is None:
        title = f"Action quality assessment: {len(results)} run{'' if len(results) == 1 else 's'}"
    sections = all_sections(results, title, preface or (), figures_folder(output).name, pngs)
    try:
        _write(output, document(title, sorted(pngs), *sections), pngs)
    except OSError as error:
        raise RunError(f"{output}: the report cannot be written ({error}); choose another place for it") from error
    return output


def figures_folder(output: Path) -> Path:
    """Where the figures of a page lie: `report_files` for `report.html`."""
    return output.with_name(f"{output.stem}_files")


def _check_output(output: Path, force: bool) -> None:
    folder = figures_folder(output)
    if output.is_dir():
        raise RunError(f"{output}: is a folder, expected the name of a file, such as {output / 'report.html'}")
    if folder.exists() and not folder.is_dir():
        raise RunError(
            f"{folder}: is a file, but a folder of this name is to hold the figures; name the report otherwise"
        )
    if force:
        return
    if output.exists():
        if _figures_of(output) is None:
            raise RunError(
                f"{output}: exists and is not a report; name the report otherwise, or give --force to replace it"
            )
    elif folder.is_dir() and (other := sorted(item.name for item in folder.iterdir() if item.suffix != ".png")):
        raise RunError(
            f"{folder}: is to hold the figures, but holds other files ({', '.join(other[:3])}); "
            "name the report otherwise, or give --force to put the figures among them"
        )


def _figures_of(page: Path) -> list[str] | None:
    """Names of the PNG files of an earlier report; None if the file is no report."""
    try:
        head = page.read_bytes()[:100_000].decode("utf-8", errors="replace").partition("</head>")[0]
    except OSError as error:
        raise RunError(f"{page}: exists but cannot be read ({error.strerror}); name the report otherwise") from error
    if f'<meta name="generator" content="{GENERATOR}">' not in head:
        return None
    named = re.search(r'<meta name="figures" content="([^"]*)">', head)
    return [name for name in (named[1].split() if named else ()) if re.fullmatch(r"[a-z0-9_]+\.png", name)]


def _write(output: Path, page: str, pngs: dict[str, bytes]) -> None:
    folder = figures_folder(output)
    folder.mkdir(parents=True, exist_ok=True)
    before = (_figures_of(output) if output.exists() else None) or []
    for path, content in (*((folder / name, png) for name, png in pngs.items()), (output, page.encode())):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    for name in set(before) - pngs.keys():
        (folder / name).unlink(missing_ok=True)
