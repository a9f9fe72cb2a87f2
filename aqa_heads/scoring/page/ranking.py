"""The ranked table of several samples."""

from collections.abc import Mapping

from ...report.html import Markup, element, join, table
from ..flags import IN_SHORT, flag_names
from ..results import Score, ScoreTable
from .scale import Drawing, ends_of


def ranking(scored: ScoreTable, links: Mapping[str, str]) -> list[Markup]:
    """All samples in their order, what failed, and what is to be said of all.

    Args:
        links: by sample_id, to its own page.
    """
    ends = [end for score in scored.scores for end in (score.points, *(score.interval or ()))]
    known = [end for end in (*ends, *(scored.scale or ())) if end is not None]
    header = (
        "Sample",
        "As far" if scored.by_fit else "",
        "Points",
        _header(known),
        "True score",
        "What it was",
        "Most alike",
    )
    cells = [_cells(score, known, scored.by_fit) for score in scored.scores]
    shown = [place for place in range(len(header) - 1) if any(row[place] for row in cells)]
    rows = [
        element(
            "tr",
            element("th", _name(score, links.get(score.sample_id)), scope="row"),
            *(element("td", row[place]) for place in shown),
        )
        for score, row in zip(scored.scores, cells)
    ]
    named = [header[0], *(header[place + 1] for place in shown)]
    parts = [table(named, rows, "ranking")] if rows else []
    if any(score.interval for score in scored.scores):
        parts.append(
            element("p", "Dot: the points; bar: the interval that is to hold the true score.", class_="note")
        )
    notes = dict.fromkeys((*scored.notes, *(score.interval_note for score in scored.scores)))
    parts += [element("p", f"{note[:1].upper()}{note[1:]}.", class_="note") for note in notes if note]
    if scored.failures:
        failed = [element("li", reason) for _, reason in scored.failures]
        parts += [element("h2", f"{len(scored.failures)} could not be scored"), element("ul", *failed)]
    return parts


def _header(known: list[float]) -> str:
    return f"{min(known):.0f} to {max(known):.0f}" if known else ""


def _cells(score: Score, known: list[float], by_fit: bool) -> tuple[Markup | str, ...]:
    """The cells of the columns behind the first; empty where there is nothing to show."""
    return (
        f"{score.share_as_far or 0:.0%}" if by_fit else "",
        element("b", "–" if score.points is None else f"{score.points:.1f}"),
        _interval(score, known),
        "" if score.final_score is None else f"{score.final_score:g}",
        ", ".join(next(iter(found)) for found in score.classes.values() if found),
        score.neighbours[0].sample.sample_id if score.neighbours else "",
    )


def _interval(score: Score, known: list[float]) -> Markup | str:
    if score.points is None:
        return ""
    drawing = Drawing(*ends_of(known))
    return drawing.alone(score.points, score.interval)


def _name(score: Score, href: str | None) -> Markup:
    """With a word where a person should look at it."""
    link = element("a", score.sample_id, href=href)
    flags = (element("span", IN_SHORT[name], class_="aside leak") for name in flag_names(score))
    return join([link, *flags])
