"""All clips, as they are annotated, and how far people agree on them."""

import math
from itertools import combinations

from aqa_heads.evaluation.floors import judge_ceiling
from aqa_heads.report.html import Markup, element, table

from ..annotations import Row
from ..context import Context
from ..table_file import BEGAN_WITH
from .frame import page


def clips(context: Context) -> str:
    rows, people = context.annotations.rows(), context.annotations.people()
    file = context.annotations.table
    table_of = element(
        "p",
        "The table is ",
        element("a", "annotations.csv", href="/annotations.csv", download=True),
        f" in {context.folder.videos}, rewritten after every change"
        + (f"; what it began from is kept as {BEGAN_WITH}." if file.began_with.is_file() else "."),
        class_="note",
    )
    return page(
        "Clips",
        "/clips",
        _table(rows)
        if rows
        else element("p", "There is none yet: drop a video on the first page.", class_="note"),
        _removed(context.annotations.removed(), context),
        *agreement(context),
        element("h2", "The table"),
        element("p", f"Who marked, in the order of judge_1 …: {', '.join(people)}.") if people else "",
        table_of,
        element("p", _edited(edited), class_="note") if (edited := file.edited()) else "",
        scripts=("clips.js",),
    )


def _edited(names: list[str]) -> str:
    return (
        f"Another program changed the table; as it left it, it is kept beside it: {', '.join(names)}. What is"
        " typed here counts: type the changes here too, or begin another folder with that table."
    )


def _removed(rows: list[Row], context: Context) -> Markup | str:
    if not rows:
        return ""
    lines = (element("li", row.sample_id, " ", _back(row)) for row in rows)
    stay = f"Not in the table, and kept; their videos stay in {context.folder.videos}."
    return element(
        "details",
        element("summary", f"Removed: {len(rows)}"),
        element("p", stay, class_="note"),
        element("ul", *lines, class_="queue"),
    )


def _back(row: Row) -> Markup:
    label = f"Put back {row.sample_id}"
    return element("button", "Put back", type="button", data_put_back=row.id, aria_label=label)


def _table(rows: list[Row]) -> Markup:
    return table(
        ("clip", "frames", "score", "marks", "classes", "last changed by"),
        [
            (
                element("a", row.sample_id, href=f"/clips/{row.id}"),
                _frames(row),
                "–" if row.sample.final_score is None else f"{row.sample.final_score:g}",
                ", ".join(f"{mark:g}" for mark in row.marks.values()) or "–",
                ", ".join(row.sample.classes.values()) or "–",
                row.who or "–",
            )
            for row in rows
        ],
        "clips",
    )


def _frames(row: Row) -> str:
    start, end = row.sample.start_frame, row.sample.end_frame
    if start is None and end is None:
        return "whole video"
    return f"{start or 0} to {'the end' if end is None else end}"


def agreement(context: Context) -> list[Markup]:
    """How far people who marked the same clips agree."""
    samples = [
        sample for sample in context.annotations.samples() if sum(map(math.isfinite, sample.judges)) > 1
    ]
    made: list[Markup] = [element("h2", "Agreement")]
    if not samples:
        return [*made, element("p", "Shown when two people have marked the same clip.", class_="note")]
    gaps = [
        abs(one - other)
        for sample in samples
        for one, other in combinations([mark for mark in sample.judges if math.isfinite(mark)], 2)
    ]
    differ = sum(gaps) / len(gaps)
    said = f"{len(samples)} clip(s) have marks of several people, who differ by {differ:.2f} on average."
    found = judge_ceiling(samples)
    if found is None:
        said += " Whether they rank clips alike can be told from a few more."
    else:
        times = ", marks times difficulty" if found["times_difficulty"] else ""
        said += (
            f" One person's ranking agrees with the mean of the others to {found['spearman']:.2f} (Spearman's"
            f" rho{times}; from {found['lowest']:.2f} to {found['highest']:.2f})."
        )
    return [*made, element("p", said)]
