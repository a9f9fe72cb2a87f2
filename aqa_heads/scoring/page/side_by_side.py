"""Two takes beside each other, aligned by clips."""

from collections.abc import Sequence

from ...report.html import Markup, element, table
from ..comparison import ComparedPart, Comparison
from .media import Media
from .scale import Drawing, ends_of
from .sections import Shown
from .timeline import picture_of, player

FIRST, SECOND = "first", "second"


def comparison_section(made: Comparison, first: Shown, second: Shown) -> list[Markup]:
    """The difference, whether it is more than noise, and where it comes from.

    Args:
        first, second: as named in `made`, their players `FIRST` and `SECOND`.
    """
    better, other = (made.first, made.second) if made.difference >= 0 else (made.second, made.first)
    found = element("b", f"{abs(made.difference):.1f} points")
    answer = element("p", f"{better} is ahead of {other} by ", found, f"; {made.in_words}.", class_="lead")
    takes = [
        element(
            "div",
            element("h3", f"{shown.score.sample_id}: {shown.score.points:.1f} points"),
            *player(shown.media, shown.name),
        )
        for shown in (first, second)
    ]
    return [
        answer,
        *_difference(made),
        element("div", *takes, class_="pair takes"),
        *_parts(made, first.media, second.media),
    ]


def _difference(made: Comparison) -> list[Markup]:
    drawing = Drawing(*ends_of([0.0, made.difference, *(made.interval or ())]))
    said = "difference" if made.interval is None else "difference, and its interval"
    drawing.interval(made.difference, made.interval, f"{said}: {made.first} less {made.second}")
    drawing.floor(0.0, "equally good")
    note = element("p", f"How sure: {made.note}.", class_="note")
    ends = made.interval
    within = "" if ends is None else f", between {ends[0]:+.1f} and {ends[1]:+.1f}"
    return [element("figure", drawing.drawn(f"A difference of {made.difference:+.1f} points{within}")), note]


def _parts(made: Comparison, first: Media, second: Media) -> list[Markup]:
    if not made.parts:
        return []
    rows = [_row(number, part, first, second) for number, part in enumerate(made.parts, 1)]
    rest = [
        ("The rest", "", "", f"{made.remainder:+.2f}"),
        ("In all", "", "", f"{made.difference:+.2f}"),
    ]
    said = "What each clip adds, in points. Clips are set beside each other by their place in the action."
    return [
        element("h2", "Clip by clip"),
        element("p", said, class_="note"),
        table(("", made.first, made.second, "difference"), rows, "compared", rest),
    ]


def _row(number: int, part: ComparedPart, first: Media, second: Media) -> Markup:
    begins = [
        _begin(media, clips) for media, clips in ((first, part.first_clips), (second, part.second_clips))
    ]
    moved = {f"data_{name}": begin for name, begin in zip((FIRST, SECOND), begins)}
    link = element(
        "a", f"{number}", href=f"#part-{number}", title="Show this in both", class_="both", **moved
    )
    return element(
        "tr",
        element("th", link, scope="row"),
        element("td", *_still(first, part.first_clips), f"{part.first_points:+.2f}"),
        element("td", *_still(second, part.second_clips), f"{part.second_points:+.2f}"),
        element(
            "td", element("b", f"{part.difference:+.2f}", class_="gain" if part.difference > 0 else "loss")
        ),
        id=f"part-{number}",
    )


def _begin(media: Media, clips: Sequence[int]) -> str | None:
    span = media.stretches[clips[0]].seconds if clips and media.stretches else None
    return None if span is None else f"{span[0]:.3f}"


def _still(media: Media, clips: Sequence[int]) -> list[Markup]:
    found = next((media.stills[clip] for clip in clips if clip in media.stills), None)
    return [] if found is None else [element("img", src=picture_of(found), alt="")]
