"""aqa-data show and verify: what is inside a feature cache, and whether it is whole."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aqa_cli.command import command
from aqa_cli.data_samples import print_samples, samples_of
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.terminal import check_printed, print_json, print_line, say

if TYPE_CHECKING:
    from rich.console import Console

    from aqa_cache.annotations import Sample

_SHOWN = 20
_WIDTH_WITHOUT_TERMINAL = 160


@command(epilog="\b\nExample:\n  aqa-data show feats.h5")
@click.argument("features", metavar="FEATS.h5", type=PathName())
@click.option(
    "--all", "everything", is_flag=True, help=f"List every failure and class, not the first {_SHOWN}."
)
@click.option(
    "--samples",
    "by_sample",
    is_flag=True,
    help="List the samples instead: id, split, group, score, clips, status.",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, with everything in it.")
@handle_errors
def show(features, everything, by_sample, as_json):
    """Show what is inside a feature cache.

    That is what made its features, how many there are, of which samples, and which samples failed and why.
    Annotations and index are read, features are not; aqa-data verify reads those too.
    """
    from aqa_cache.cache_file.contents import contents
    from aqa_cache.cache_file.reader import FeatureCache
    from aqa_cli.console import console

    with FeatureCache(features) as cache:
        inside = {"samples": samples_of(cache)} if by_sample else contents(cache)
    if as_json:
        print_json(inside)
    elif by_sample:
        print_samples(console(width_elsewhere=_WIDTH_WITHOUT_TERMINAL), inside["samples"])
    else:
        on = console(width_elsewhere=_WIDTH_WITHOUT_TERMINAL)
        limit = None if everything else _SHOWN
        _show_provenance(on, inside)
        _show_samples(on, inside)
        _show_labels(on, inside, limit)
        _show_failures(on, inside, limit)
    check_printed()


@command(epilog="\b\nExample:\n  aqa-data verify feats.h5 --videos videos/")
@click.argument("features", metavar="FEATS.h5", type=PathName())
@click.option(
    "--videos",
    metavar="DIR",
    type=PathName(exists=True, file_okay=False),
    help="Folder of the videos: also list samples that an earlier version may have given wrong frames.",
)
@handle_errors
def verify(features, videos):
    """Check that a feature cache is whole.

    All of it is read once, a block at a time, so that large files need little memory.

    Checked are the checksum of every dataset, that fingerprint and checksum follow from the attributes, that
    the index gives every feature row to one sample, that annotations are what their columns admit, and that
    all features are finite. Files from before attributes had a checksum do not show damage to those that are
    not in the fingerprint, such as the name of the weights.

    With --videos, the headers of the videos are looked at too, where the features were made by a version of
    this program that gave frames of some kinds of video wrongly (docs/schema.md). Running aqa-extract again
    extracts these samples anew.

    Exit code: 0 whole; 1 there are problems, one line each; 2 there is no such file.
    """
    from rich.progress import Progress

    from aqa_cache.cache_file.verification import verify as verify_cache
    from aqa_cli.console import console

    wrong, unseen = [], []

    def look_at_videos(cache) -> None:
        nonlocal wrong, unseen
        if videos is not None:
            from aqa_cache.extraction.existing import wrongly_made

            wrong, unseen = wrongly_made(cache, videos)

    on = console(stderr=True)
    with Progress(console=on, transient=True, disable=not on.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        found = verify_cache(
            features, lambda done, total: bar.update(task, completed=done, total=total), look_at_videos
        )
    size = f"{found.samples:,} samples, {found.clips:,} clips of {found.dim:,} values"
    if not found.problems:
        print_line(
            f"{features} is whole: {size}; checksums, fingerprint, index, annotations and finiteness are"
            " right."
        )
        _list_wrongly_made(features, videos, wrong, unseen)
        check_printed()
        if wrong:
            sys.exit(1)
        return
    for problem in found.problems:
        print_line(problem)
    count = f"{len(found.problems)} problem(s)" + (f" in {size}" if found.dim else "")
    say(f"{features}: {count}; restore the file from a copy, or make it again.")
    check_printed()
    sys.exit(1)


def _list_wrongly_made(
    features: Path, videos: Path, found: "list[tuple[Sample, str]]", unseen: "list[Sample]"
) -> None:
    """List the samples that an earlier version may have given wrong frames, and those not looked at."""
    from aqa_cache.errors import some

    for sample, why in found:
        print_line(f"{sample.sample_id}: {sample.video} {why}")
    if found:
        say(
            f"{features}: {len(found)} sample(s) were extracted by an earlier version that may have given"
            " them wrong frames; run the same aqa-extract command again, which extracts them anew."
        )
    if unseen:
        names = some([sample.sample_id for sample in unseen])
        say(
            f"{len(unseen)} sample(s) of that version could not be looked at, as their videos are not in"
            f" {videos}: {names}"
        )


def _show_provenance(on: "Console", inside: dict) -> None:
    made = inside["provenance"]
    rows = {
        "file": f"{inside['file']}, {_bytes(inside['bytes'])}",
        "backbone": f"{made['backbone']}, {made['dim']:,} values per clip, {made['dtype']}",
        "layer": made["layer"],
        "weights": f"{made['weights']}, SHA-256 {made['weights_sha256'] or 'not known'}",
        **({"fine-tuned": _tuned(made["tuned"])} if made["tuned"] else {}),
        "preprocessing": _record(made["preprocessing"]),
        "clip rule": _record(made["clip_rule"]),
        "views": ", ".join(made["views"]),
        "numerics": _record(made["numerics"]),
        "made by": made["made_by"],
        "fingerprint": made["fingerprint"],
    }
    _print_table(on, ["", ""], [[name, value] for name, value in rows.items()])


def _tuned(tuned: dict) -> str:
    origin = f" (which began as {tuned['origin']})" if tuned["origin"] != tuned["started_from"] else ""
    return (
        f"from {tuned['started_from']}{origin}, on {len(tuned['trained_on']):,} samples, chosen on"
        f" {len(tuned['chosen_on']):,}"
    )


def _show_samples(on: "Console", inside: dict) -> None:
    from aqa_cache.cache_file.contents import said_unseen

    on.print(
        f"\n{inside['samples']:,} samples, {inside['samples'] - inside['failed']:,} with features,"
        f" {inside['failed']:,} failed",
    )
    views = [
        [view, *(f"{clips.get(name, 0):,g}" for name in ("samples", "total", "min", "median", "max"))]
        for view, clips in inside["clips"].items()
    ]
    _print_table(on, ["view", "samples", "clips", "fewest in a sample", "median", "most"], views)
    if said := said_unseen(inside["unseen_frames"]):
        on.print(f"{said[0].upper()}{said[1:]}.")
    if not inside["splits"]:
        return
    names = [name for name in inside["splits"][0] if name != "split"]
    titles = ["split", *(name.replace("_", " ") for name in names)]
    splits = [
        [entry["split"] or "(none)", *(f"{entry[name]:,}" for name in names)] for entry in inside["splits"]
    ]
    on.print()
    _print_table(on, titles, splits)


def _show_labels(on: "Console", inside: dict, limit: int | None) -> None:
    rows = []
    if score := inside["final_score"]:
        rows.append(
            ["final_score", f"{score['min']:g} to {score['max']:g}, {score['mean']:.2f} ± {score['std']:.2f}"]
        )
    for name, tally in inside["classes"].items():
        listed = [f"{label} {count:,}" for label, count in tally.items()]
        more = f" and {len(listed) - limit} more" if limit is not None and len(listed) > limit else ""
        rows.append([f"class_{name}", ", ".join(listed[:limit]) + more])
    if words := inside["caption_words"]:
        rows.append(["caption", f"{words['min']} to {words['max']} words, {words['median']:g} in the middle"])
    if inside["extra"]:
        rows.append(["other columns", ", ".join(inside["extra"])])
    if rows:
        on.print()
        _print_table(on, ["label", "values"], rows)


def _show_failures(on: "Console", inside: dict, limit: int | None) -> None:
    failures = inside["failures"]
    if not failures:
        return
    on.print(f"\n{len(failures):,} failed:")
    for failure in failures[:limit]:
        name, reason = failure["sample_id"], failure["reason"]
        line = reason if reason.startswith(name) else f"{name}: {reason}"
        on.print(f"  {line}", soft_wrap=True)
    if limit is not None and len(failures) > limit:
        on.print(f"  … and {len(failures) - limit} more; --all lists them")


def _print_table(on: "Console", titles: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=any(titles))
    numbers = len(titles) > 2
    for place, title in enumerate(titles):
        table.add_column(title, justify="right" if numbers and place else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    on.print(table)


def _record(record: dict) -> str:
    return (
        ", ".join(f"{name} {_value(value)}" for name, value in record.items() if value is not None)
        or "not known"
    )


def _value(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bytes(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count} bytes"
        count /= 1000
    return f"{count:,.3g} GB"
