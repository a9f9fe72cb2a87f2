"""The parts of a page on one scored sample."""

import math
from dataclasses import dataclass
from pathlib import PurePath

from ...report.html import Markup, element, table, term
from ...report.html.drawing import cut
from ..background import RANDOM_FEATURES, Background, Tested
from ..flags import UNLIKE
from ..results import Neighbour, Score, ScoreTable
from .judges import panel_section
from .media import Media
from .scale import Drawing, bar, ends_of

_CLASSES, _LETTERS = 5, 28
FLOORS = {
    "training_mean": "the mean training score",
    "difficulty": "the difficulty alone",
    "group_mean": "the group's mean",
    "difficulty_group_mean": "difficulty × the group's mean",
    "class_mean": "the mean of the class",
}


@dataclass(frozen=True)
class Shown:
    """What a page is made of.

    Args:
        table: that the score is of.
        name: of the sample's own player and clips on the page.
    """

    score: Score
    table: ScoreTable
    media: Media
    name: str = "video"

    @property
    def unlike(self) -> bool:
        """Whether it is unlike the training samples."""
        return any(flag.name == UNLIKE for flag in self.score.flags)

    @property
    def background(self) -> Background:
        return self.table.background or Background("", ())


def heading(shown: Shown) -> list[Markup]:
    """Which sample, and by what it was scored."""
    score, runs = shown.score, shown.background.runs
    where = [PurePath(score.video).name]
    if score.frames is not None:
        where.append(f"frames {score.frames[0]} to {score.frames[1] - 1}")
    if span := shown.media.seconds:
        where.append(f"{span[0]:.1f} to {span[1]:.1f} s")
    by, label = runs[0] if len(runs) == 1 else f"{len(runs)} runs", shown.background.label
    named = "" if label in runs else f", {label}"
    said = f"{', '.join(where)}. Scored by {by}{named}." if runs else f"{', '.join(where)}."
    return [element("h1", score.sample_id), element("p", said, class_="byline")]


def warning(shown: Shown) -> list[Markup]:
    """What speaks against trusting the number, on top."""
    score, said = shown.score, [_sentence(flag.reason) for flag in shown.score.flags]
    scale, flagged = shown.table.scale, bool(shown.score.flags)
    if score.points is not None and scale and not scale[0] <= score.points <= scale[1]:
        said.append(f"Its score is outside those of training, {scale[0]:g} to {scale[1]:g}.")
    if any("learned from it" in note for note in score.notes):
        said.append(
            "The model learned from this very action: its score is better than it would be of a new one."
        )
    if RANDOM_FEATURES in shown.table.notes:
        said.append(_sentence(RANDOM_FEATURES))
    if not said:
        return []
    parts = [element("b", "Have a person look at it:")] if flagged else []
    parts.append(element("ul", *(element("li", line) for line in said)))
    return [element("div", *parts, class_="banner", role="alert")]


def verdict(shown: Shown) -> list[Markup]:
    """The score, how sure it is, and where it lies among the others."""
    score = shown.score
    if score.points is None:
        return [element("p", "The run predicts no score.", class_="lead")]
    parts = [
        element(
            "p",
            element(
                "span", element("data", f"{score.points:.1f}", value=repr(score.points)), class_="points"
            ),
            " points",
            class_="score",
        )
    ]
    if score.interval is not None:
        low, high = score.interval
        level = score.interval_note.partition(",")[0]
        ends = element("b", f"{low:.1f} and {high:.1f}")
        said = f"With {level} probability the true score lies between "
        if shown.unlike:
            said = f"Of samples like those of training, which this is not, {level} would lie between "
        parts.append(element("p", said, ends, ".", class_="lead"))
    parts.append(_scale(shown))
    if score.spread is not None:
        of = "the runs differ" if len(score.by_run) > 1 else "the model says of itself"
        parts.append(element("p", f"Spread: {score.spread:.1f} points, as {of}.", class_="note"))
    if score.interval_note:
        how = term("Conformal interval", "How sure")
        parts.append(element("p", how, f": {score.interval_note}.", class_="note"))
    return parts


def _scale(shown: Shown) -> Markup:
    score, background = shown.score, shown.background
    floors = background.floors_of(score)
    near = [one for one in score.neighbours if one.sample.final_score is not None]
    assert score.points is not None
    drawing = Drawing(
        *ends_of(
            [
                score.points,
                score.final_score,
                *(score.interval or ()),
                *background.training_scores,
                *floors.values(),
                *(one.sample.final_score for one in near),
            ]
        )
    )
    drawing.interval(
        score.points, score.interval, "this one" if score.interval is None else "this one, and its interval"
    )
    if score.final_score is not None:
        drawing.mark(score.final_score, f"true score: {score.final_score:g}", "true")
    if known := background.training_scores:
        drawing.histogram(known, f"{len(known)} training scores")
    for one in near:
        drawing.mark(
            one.sample.final_score or 0,
            f"{cut(one.sample.sample_id, _LETTERS)}: {one.sample.final_score:g}",
            "near",
        )
    for name, points in floors.items():
        drawing.floor(points, f"{name}: {points:.1f}")
    caption = "Blue: this one. Below it what the model learned from; the most alike by name"
    caption += (
        f"; dashed: {'what' if len(floors) > 1 else 'the score that'} would be said without looking."
        if floors
        else "."
    )
    return element(
        "figure", drawing.drawn(f"{score.points:.1f} points on a scale"), element("figcaption", caption)
    )


def judges(shown: Shown) -> list[Markup]:
    """The marks that judges gave, where they are known."""
    return panel_section(shown.score.panel)


def classes(shown: Shown) -> list[Markup]:
    """What it was, with probabilities."""
    blocks = []
    for column, likely in shown.score.classes.items():
        rows = [(name, bar(share), f"{share:.0%}") for name, share in list(likely.items())[:_CLASSES]]
        more = len(likely) - len(rows)
        foot = (
            [("others", bar(rest := max(0.0, 1 - sum(list(likely.values())[:_CLASSES]))), f"{rest:.0%}")]
            if more > 0
            else ()
        )
        blocks.append(
            element("div", element("h3", column.replace("_", " ")), table(("", "", ""), rows, "likely", foot))
        )
    return [element("h2", "What it was"), element("div", *blocks, class_="many-columns")] if blocks else []


def caption(shown: Shown) -> list[Markup]:
    """What the model says in words."""
    said = shown.score.caption
    if said is None:
        return []
    return [element("h2", "In words"), element("blockquote", said or "(nothing)")]


def neighbours(shown: Shown) -> list[Markup]:
    """The training samples most alike, with what judges and commentators said of them."""
    near = shown.score.neighbours
    if not near:
        return []
    meant = "The training samples that the model finds most alike, by the cosine of what its encoder gives."
    return [
        element("h2", "Most alike"),
        element("p", meant, class_="note"),
        element("div", *map(_neighbour, near), class_="cards"),
    ]


def _neighbour(near: Neighbour) -> Markup:
    sample = near.sample
    scored = "no score" if sample.final_score is None else f"{sample.final_score:g} points"
    facts = []
    if marks := [f"{mark:g}" if math.isfinite(mark) else "–" for mark in sample.judges]:
        facts += [element("dt", "judges"), element("dd", ", ".join(marks))]
    facts += [element("dt", "video"), element("dd", sample.video)]
    facts += [element("dt", "alike"), element("dd", f"cosine {near.similarity:.3f}")]
    said = [element("blockquote", sample.caption)] if sample.caption else []
    return element(
        "article",
        element("h3", sample.sample_id),
        element("p", scored, class_="lead"),
        *said,
        element("dl", *facts),
    )


def limits(shown: Shown) -> list[Markup]:
    """What the number cannot tell, and how the run did where the truth was known."""
    background = shown.background
    notes = [note for note in (*shown.score.notes, *shown.table.notes) if note != RANDOM_FEATURES]
    parts = [element("h2", "What the number cannot tell")]
    lines = dict.fromkeys([*background.limits, *(_sentence(note) for note in notes)])
    parts.append(element("ul", *(element("li", line) for line in lines)))
    if background.tested is not None:
        parts += _tested(background.tested, len(background.runs))
    return parts


def _tested(tested: Tested, runs: int) -> list[Markup]:
    of = "" if runs == 1 else f", averaged over {runs} runs"
    rho = _number(tested.spearman, ".3f")
    if tested.interval is not None and tested.spearman is not None:
        rho += f" ({tested.interval[0]:.3f} to {tested.interval[1]:.3f})"
    rows = [("the model", rho, _number(tested.mae, ".1f"))]
    if tested.ceiling is not None:
        rows.append(("one judge, with the others", _number(tested.ceiling, ".3f"), ""))
    without = [
        (FLOORS.get(name, name.replace("_", " ")), _number(floor, ".3f"), _number(mae, ".1f"))
        for name, (floor, mae) in tested.floors.items()
    ]
    meant = (
        f"On {tested.n:,} test samples{of}. Ranks: ",
        term("Spearman’s ρ"),
        ", with its 95 % interval" if tested.interval is not None else "",
        ". Off by: mean distance from the true score, in points. Below the line: what needs no video.",
    )
    return [
        element("h3", "How it did where the truth was known"),
        element("p", *meant, class_="note"),
        table(("what", "ranks", "off by"), rows, "tested", without),
    ]


# After the video, in this order; each takes a `Shown` and gives what stands there, or nothing.
SECTIONS = (judges, neighbours, classes, caption, limits)


def body(shown: Shown) -> list[Markup]:
    """What follows the video and its clips."""
    return [part for section in SECTIONS for part in section(shown)]


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + ("" if note.endswith(".") else ".")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, f"z{form}")
