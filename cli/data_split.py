"""aqa-data split: a test part, or folds, for a table that has none."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aqa_cache.errors import AqaError, some
from aqa_cli.annotations_table import check_table, table_options
from aqa_cli.command import command
from aqa_cli.data_audit import print_audit, under_one_name
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName, columns_option
from aqa_cli.terminal import print_line, say

if TYPE_CHECKING:
    from aqa_cache.annotations import Columns, Sample


@command(
    "split",
    epilog="\b\nExample:\n  aqa-data split scores.xlsx --test .2 --group athlete -o clips/annotations.csv",
)
@click.argument("table", metavar="TABLE", type=PathName(dir_okay=False))
@click.option("--test", "share", type=float, metavar="SHARE", help="Test this share of the samples: .2.")
@click.option("--folds", type=int, metavar="K", help="K folds in the column fold, for --folds official.")
@click.option(
    "--group",
    metavar="COLUMN",
    help=(
        "Column whose groups stay whole, the athlete or the competition; it becomes the column group. By"
        " default that column as it is."
    ),
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what chance decides.")
@columns_option
@table_options
@handle_errors
def split_command(table, share, folds, group, seed, columns, output, force):
    """Divide the samples of TABLE into train and test, or into folds, and write the table with it.

    Whole groups stay together, and so do samples that share frames of a video, whatever its names are. Of
    many draws the test part is the one whose scores are spread most like the others'. Folds are those that
    aqa-train --folds K makes. Printed is what aqa-data audit finds: floors and leaks.

    Exit code: 0 done; 2 nothing is written.
    """
    from aqa_cache.annotations import write_annotations
    from aqa_cache.disk.atomic import replacing
    from aqa_heads.data.drawn_test import draw_test
    from aqa_heads.data.leaks import frames_of
    from aqa_heads.data.splits import fold_names, make_folds
    from aqa_heads.evaluation.audit import audit

    if (share is None) == (folds is None):
        raise click.UsageError("Give --test SHARE or --folds K, one of them.")
    check_table(output, force)
    samples = _read(table, columns)
    if group is not None:
        samples = _grouped(table, samples, group)
    there = "split" if share is not None else "fold"
    if having := sum(getattr(sample, there) is not None for sample in samples):
        raise AqaError(f"{table}: {having} samples have a {there} already; empty that column to make another")
    notes: list[str] = []
    same = under_one_name(table.parent, samples, notes)
    if share is not None:
        tested, few = draw_test(same, frames_of(same), share, seed)
        sides = ["test" if number in tested else "train" for number in range(len(samples))]
        samples = [replace(sample, split=side) for sample, side in zip(samples, sides, strict=True)]
    else:
        fold_names(samples, folds)  # whether so many can be
        numbers, few = make_folds(same, frames_of(same), folds, seed)
        names = [str(number + 1) for number in numbers]
        samples = [replace(sample, fold=name) for sample, name in zip(samples, names, strict=True)]
    if few:
        notes.append(f"Single samples are divided, not groups: {few}.")
    with replacing(output) as temporary:
        write_annotations(temporary, samples)
    divided = [replace(one, video=other.video) for one, other in zip(samples, same, strict=True)]
    if share is not None:
        print_audit(output, audit(divided), notes)
    else:
        for note in notes:
            say(note)
        _print_folds(output, divided)
    print_line(f"\nWrote {output}: {len(samples):,} rows.")


def _read(table: Path, columns: "Columns | None") -> list["Sample"]:
    """The samples; their times become frames where the videos lie beside the table."""
    from aqa_cache.annotations import read_table

    read = read_table(table, columns)
    for note in read.notes:
        say(note)
    if not read.times:
        return read.samples
    from aqa_cache.video.times import with_frames

    return with_frames(table.parent, read.samples, read.times)


def _grouped(table: Path, samples: list["Sample"], column: str) -> list["Sample"]:
    """The samples with the groups of a column; what the column group held is kept as `group_before`."""
    if column == "group":
        return samples
    own = sorted({name for sample in samples for name in sample.extra})
    named = [name for name in own if name.casefold() == column.strip().casefold()]
    if not named:
        raise AqaError(
            f"{table}: has no column {column!r} to group by; there is"
            f" {some(own, 20) or 'none but known ones'}"
        )
    grouped = []
    for sample in samples:
        extra = {name: value for name, value in sample.extra.items() if name != named[0]}
        if sample.group is not None:
            extra["group_before"] = sample.group
        grouped.append(replace(sample, group=sample.extra.get(named[0]), extra=extra))
    return grouped


def _print_folds(output: Path, samples: list["Sample"]) -> None:
    from rich.table import Table

    from aqa_cli.console import console
    from aqa_heads.evaluation.audit import audit

    table = Table(box=None, pad_edge=False)
    for title in ("fold", "samples", "groups", "mean score", "floor: difficulty", "floor: classes", "leaks"):
        table.add_column(title, justify="left" if title == "fold" else "right")
    leaks = 0
    for fold in sorted({sample.fold or "" for sample in samples}, key=int):
        found = audit([replace(one, split="test" if one.fold == fold else "train") for one in samples])
        tested = [sample for sample in samples if sample.fold == fold]
        scores = [sample.final_score for sample in tested if sample.final_score is not None]
        leaks += len(found.leaks)
        table.add_row(
            fold,
            f"{len(tested):,}",
            f"{len({sample.group for sample in tested} - {None}):,}",
            f"{sum(scores) / len(scores):.2f}" if scores else "-",
            _rho(found.floors.get("difficulty")),
            _rho(found.floors.get("class_mean")),
            f"{len(found.leaks):,}",
        )
    console().print(table)
    print_line("Floors: Spearman's correlation that is reached without seeing a video.")
    print_line(f"{output}: {leaks} leak(s)." if leaks else f"{output}: no leak.")


def _rho(floor: dict | None) -> str:
    return "-" if floor is None or floor["spearman"] != floor["spearman"] else f"{floor['spearman']:.3f}"
