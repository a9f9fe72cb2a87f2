"""The video, and under it what each clip adds; each clip leads to its place in the video."""

from base64 import b64encode
from collections.abc import Sequence

from ...report.html import Markup, element, table, term
from ..results import Score
from .media import Media, Stretch

MOST_WITH_PICTURES, MOST_LISTED = 12, 60
_LOST = "The video is not where it was, or does not play here: stills alone."
_TALL = 34  # pixels of the longest bar, up or down


def player(media: Media, name: str = "video") -> list[Markup]:
    """The video, or the stills where browsers do not play it.

    Args:
        name: of it on the page, unlike that of another player there.
    """
    first = next(iter(media.stills.values()), None)
    poster = None if first is None else picture_of(first)
    parts = []
    if media.href is not None:
        span = media.seconds
        parts.append(
            element(
                "video",
                element("a", "The video", href=media.href),
                src=media.href + (f"#t={span[0]:.3f},{span[1]:.3f}" if span else ""),
                poster=poster,
                controls=True,
                playsinline=True,
                preload="metadata",
            )
        )
        parts.append(element("p", _LOST, class_="note lost", hidden=True))
    elif poster is not None:
        parts.append(element("img", src=poster, alt="A still of the video", class_="large"))
    notes = [element("p", note, class_="note") for note in media.notes]
    return [element("div", *parts, class_="stage", data_player=name), *notes] if parts else notes


def timeline(media: Media, name: str = "video") -> Markup:
    """The clips in the order of time, each with its still and what it adds; a link to its row below."""
    largest = max((abs(one.points or 0) for one in media.stretches), default=0) or 1.0
    pictures = len(media.stretches) <= MOST_WITH_PICTURES
    clips = [
        element("li", _clip(place, one, media.stills.get(place), largest, pictures, name))
        for place, one in enumerate(media.stretches)
    ]
    kind = "timeline" if pictures else "timeline many-clips"
    return element("ol", *clips, class_=kind, data_of=name)


def _clip(place: int, one: Stretch, still: bytes | None, largest: float, pictures: bool, name: str) -> Markup:
    parts = []
    if pictures and still is not None:
        parts.append(element("img", src=picture_of(still), alt=""))
    if one.points is not None:
        parts.append(_bar(one.points / largest))
        if pictures:
            parts.append(
                element("b", f"{one.points:+z.{1 if largest >= 1 else 2}f}", class_=_kind(one.points))
            )
    if pictures and one.seconds:
        parts.append(element("span", f"{one.seconds[0]:.1f} s", class_="aside"))
    adds = "" if one.points is None else f": {one.points:+.2f} points"
    return element(
        "a",
        *parts,
        href=f"#{name}-clip-{place + 1}",
        title=f"Clip {place + 1}, {when(one)}{adds}",
        aria_label=f"Clip {place + 1}, {when(one)}{adds}",
        data_from=f"{one.seconds[0]:.3f}" if one.seconds else None,
        data_to=f"{one.seconds[1]:.3f}" if one.seconds else None,
    )


def _bar(share: float) -> Markup:
    """Up from the middle, or down."""
    tall = _TALL * abs(share)
    top = _TALL - tall if share > 0 else _TALL
    return element(
        "svg",
        element(
            "rect", x="15%", width="70%", y=f"{top:.1f}", height=f"{max(tall, 0.8):.1f}", class_=_kind(share)
        ),
        element("line", x1="0", x2="100%", y1=_TALL, y2=_TALL, class_="axis"),
        width="100%",
        height=2 * _TALL,
        aria_hidden="true",
    )


def clips(score: Score, media: Media, name: str = "video") -> list[Markup]:
    """What each clip adds: the timeline, and the same in numbers."""
    made = score.contributions
    if made is None or score.points is None:
        return []
    meant = (
        "The score is a sum over the clips: these are its terms."
        if made.exact
        else "What the score loses when the clip is left out and the others stay. Where clips show the same,"
        " each alone can be spared, and the rest is large."
    )
    places = _listed(media.stretches)
    rest = [
        ("The rest", f"{made.remainder:+.2f}", "what no clip of its own adds"),
        ("The score", f"{score.points:.2f}", ""),
    ]
    listed = table(("Clip", "Points", "Where"), [_row(place, media, name) for place in places], "clips", rest)
    left_out = len(media.stretches) - len(places)
    said = [f"{left_out} clips that add less are not listed; scores.json has all."] if left_out else []
    return [
        element("h2", "What each clip ", term("Contribution", "adds")),
        timeline(media, name),
        element("p", meant, class_="note"),
        element(
            "details",
            element("summary", "In numbers"),
            *(element("p", line, class_="note") for line in said),
            listed,
        ),
    ]


def _row(place: int, media: Media, name: str) -> Markup:
    one, still = media.stretches[place], media.stills.get(place)
    above = len(media.stretches) <= MOST_WITH_PICTURES  # it is in the timeline
    shown = [] if still is None or above else [element("img", src=picture_of(still), alt="")]
    where: Markup | str = when(one)
    if one.seconds and media.href:
        where = element("a", where, href=f"{media.href}#t={one.seconds[0]:.3f},{one.seconds[1]:.3f}")
    frames = element("span", _frames(one), class_="aside")
    points = "" if one.points is None else element("b", f"{one.points:+.2f}", class_=_kind(one.points))
    return element(
        "tr",
        element("th", element("span", place + 1), *shown, scope="row"),
        element("td", points),
        element("td", where, frames),
        id=f"{name}-clip-{place + 1}",
    )


def _listed(stretches: Sequence[Stretch]) -> list[int]:
    """All of a few; of many those that add most, in the order of time."""
    places = range(len(stretches))
    most = sorted(places, key=lambda place: -abs(stretches[place].points or 0))[:MOST_LISTED]
    return sorted(most)


def when(one: Stretch) -> str:
    """Where a stretch lies, in seconds where there are times."""
    if one.seconds is None:
        return _frames(one)
    return f"{one.seconds[0]:.1f} to {one.seconds[1]:.1f} s"


def _frames(one: Stretch) -> str:
    return "frames not known" if one.frames is None else f"frames {one.frames[0]} to {one.frames[1] - 1}"


def picture_of(jpeg: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"


def _kind(points: float) -> str:
    return "gain" if points > 0 else "loss"
