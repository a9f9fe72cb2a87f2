"""aqa-data audit: what a result on these samples and this split can be worth, before anything is trained."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aqa_cache.errors import AqaError, escaped, some
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName, columns_option
from aqa_cli.terminal import check_printed, print_json, print_line

if TYPE_CHECKING:
    from rich.console import Console

    from aqa_cache.annotations import Columns, Sample
    from aqa_cache.cache_file.feature_spec import Learned
    from aqa_heads.evaluation.audit import Audit

_WIDTH_WITHOUT_TERMINAL = 100


@command(epilog="\b\nExample:\n  aqa-data audit feats.h5")
@click.argument("source", metavar="FEATS.h5|annotations.csv", type=PathName())
@click.option(
    "--fold", metavar="NAME", help="Audit with this fold as the test split and all others as training."
)
@click.option(
    "--json",
    "output",
    metavar="FILE",
    type=PathName(dir_okay=False),
    help=(
        "Also write everything that was found, with every sample's name, as JSON; - writes it to the terminal"
        " instead."
    ),
)
@columns_option
@handle_errors
def audit(source, fold, output, columns):
    """Find what would make a result mean less than it seems.

    Found are samples on both sides of the split, by their id and by frames of a video that they share, and
    test samples that a fine-tuned backbone has learned from: a leak, which aqa-train refuses. Said are groups
    (competitions, persons) on both sides, what predictions without any video reach (floors) and what one
    judge does (ceiling), scores that contradict difficulty and marks, captions that state the score, and
    missing labels. docs/evaluation.md explains each.

    Of a cache, the frames that its features were really made of are compared, and samples without features
    are left out; of a table, the annotated frames, and its videos by what they are, where they lie beside it:
    other spellings, links and copies of a file are one video.

    Exit code: 0 no leak; 1 a leak was found; 2 the file cannot be audited.
    """
    from aqa_heads.evaluation.audit import audit as look

    samples, frames, tuned, notes = _read(source, columns)
    if fold is not None:
        samples = _with_fold(source, samples, fold)
    elif not any(sample.split for sample in samples):
        notes.append(_without_split(samples))
    found = look(samples, frames=frames, tuned=tuned)
    if output is not None and str(output) == "-":
        print_json(found.record())
    else:
        if output is not None:
            _write(output, found.record())
        print_audit(source, found, notes)
    check_printed()
    if found.leaks:
        sys.exit(1)


def under_one_name(folder: Path, samples: list["Sample"], notes: list[str]) -> list["Sample"]:
    """The samples with one name for each video that lies in a folder: of other spellings, links and copies.

    Args:
        notes: is told which names those are.
    """
    from aqa_cache.video.same_file import copies, names_of_one_file

    one = names_of_one_file(folder, (sample.video for sample in samples))
    one |= copies(folder, (one.get(sample.video, sample.video) for sample in samples))
    if not one:
        return samples
    pairs = some([f"{escaped(name)} is {escaped(best)}" for name, best in one.items()])
    notes.append(f"{len(one)} name(s) are of a video that another row names otherwise: {pairs}.")
    renamed = []
    for sample in samples:
        video = one.get(sample.video, sample.video)
        renamed.append(replace(sample, video=one.get(video, video)))  # a link may be to a copy
    return renamed


def _read(
    source: Path, columns: "Columns | None"
) -> tuple[list["Sample"], dict[str, tuple[int, int]], "Learned | None", list[str]]:
    """Samples, the frames their features were made of where that is known, what the backbone was fine-tuned
    on, and what to say.
    """
    from aqa_cache.annotations import read_annotations
    from aqa_cache.tables.forms import SUFFIXES

    if source.suffix.lower() in SUFFIXES:
        notes: list[str] = []
        samples = read_annotations(source, columns, notes.append)
        return under_one_name(source.parent, samples, notes), {}, None, notes
    if columns is not None and columns.names:
        raise AqaError(f"{source}: --columns is for tables; a cache has the names that are known")
    if source.suffix.lower() not in (".h5", ".hdf5"):
        raise AqaError(
            f"{source}: expected a feature cache (.h5) or an annotations table ({', '.join(SUFFIXES)}), by"
            " the name's ending"
        )
    from aqa_cache.cache_file.contents import said_unseen, unseen_frames
    from aqa_cache.cache_file.reader import FeatureCache
    from aqa_heads.data.leaks import frames_of_features, samples_by_content

    with FeatureCache(source) as cache:
        named = samples_by_content(cache)
        samples = [sample for index, sample in enumerate(named) if cache.has_features(index)]
        frames, failed, spec = frames_of_features(cache), len(cache) - len(samples), cache.spec
        unseen = said_unseen(unseen_frames(cache))
    if not samples:
        raise AqaError(f"{source}: no sample has features; aqa-data show says why")
    notes = [f"{failed:,} sample(s) without features are left out, as in training."] if failed else []
    if unseen:
        notes.append(f"Features are of what clips saw: {unseen}.")
    if len(frames) < len(samples):
        unknown = len(samples) - len(frames)
        notes.append(
            f"Which frames made the features of {unknown:,} sample(s) is not recorded: their annotated frames"
            " are used."
        )
    if tuned := spec.tuned:
        notes.append(
            f"The backbone was fine-tuned in {spec.weights}, on {len(tuned.trained_on):,} samples, an"
            f" epoch of it chosen on {len(tuned.chosen_on):,}: looked for among the test samples by"
            " sample_id."
        )
    return samples, frames, spec.tuned, notes


def _with_fold(source: Path, samples: list["Sample"], fold: str) -> list["Sample"]:
    folds = sorted({sample.fold for sample in samples if sample.fold})
    if fold not in folds:
        raise AqaError(f"{source}: has no fold {fold!r}; its folds: {', '.join(folds) or 'none'}")
    sides = {None: None, fold: "test"}
    return [replace(sample, split=sides.get(sample.fold, "train")) for sample in samples]


def _without_split(samples: list["Sample"]) -> str:
    folds = sorted({sample.fold for sample in samples if sample.fold})
    if folds:
        return f"No sample has a split, but there are folds: audit each with --fold ({', '.join(folds)})."
    return (
        "No sample has a split, so there are no two sides to compare; fill in the column split (train,"
        " test), or have aqa-data split do it. aqa-train tests such samples in folds."
    )


def _write(output: Path, record: dict) -> None:
    from aqa_cache.disk.atomic import replacing

    if not output.absolute().parent.is_dir():
        raise AqaError(
            f"{output}: there is no folder {output.parent}; create it, or give another name with --json"
        )
    with replacing(output) as temporary:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        temporary.write_text(text, "utf-8", "backslashreplace")  # in JSON, an escape says the same


def print_audit(source: Path, found: "Audit", notes: list[str]) -> None:
    """What was found of a split, floors and leaks included."""
    from rich.table import Table

    from aqa_cli.console import console, line

    on = console(width_elsewhere=_WIDTH_WITHOUT_TERMINAL)
    for note in notes:
        on.print(note)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    topic = None
    for name, said in found.findings():
        if name == "floors" and any(found.floors.values()):
            continue
        style = "bold red" if name == "leaks" and found.leaks else ""
        table.add_row("" if name == topic else name, line(said, style))
        topic = name
    on.print(table)
    if any(found.floors.values()):
        _print_floors(on, found)
    if found.leaks:
        on.print(
            f"\n{source}: LEAK. aqa-train refuses this split; with --allow-leak it trains and marks every"
            " number.",
            style="bold red",
            soft_wrap=True,
        )
    elif found.samples["test"] and found.samples["train"] + found.samples["val"]:
        print_line(f"\n{source}: no leak.")


def _print_floors(on: "Console", found: "Audit") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("without seeing a video (floors)", no_wrap=True)
    for title in ("Spearman", "R-l2 x 100", "MAE", "n"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, floor in found.floors.items():
        if floor is None:
            table.add_row(name.replace("_", " "), "-", "-", "-", "-", style="dim")
            continue
        unseen = f" ({floor['n_unseen']:,} not seen)" if floor.get("n_unseen") else ""
        table.add_row(
            name.replace("_", " ") + unseen,
            *(
                f"{floor[key]:.{digits}f}" if floor[key] == floor[key] else "-"
                for key, digits in (("spearman", 3), ("relative_l2", 3), ("mae", 2))
            ),
            f"{floor['n']:,}",
        )
    on.print()
    on.print(table)
    if None in found.floors.values():
        on.print("-: cannot be had; docs/evaluation.md says what each needs.", style="dim")
