"""One clip: played, stepped through by frame, and annotated."""

import json

from aqa_heads.report.html import Markup, element

from ..annotations import Row
from ..context import Context
from ..models import Model
from ..videos import Video
from .frame import DECIMAL, WHOLE, labelled, page
from .model import choice
from .work import part

_KEYS = (
    (",", "one frame back"),
    (".", "one frame on"),
    ("Space", "play and pause"),
    ("s", "the action starts here"),
    ("e", "it ends here; this frame is not part of it"),
    ("u", "undo"),
)


def clip(context: Context, row: Row) -> str:
    video = context.videos.by_file(row.sample.video)
    rows = context.annotations.rows()
    return page(
        row.sample_id,
        "/clips",
        _neighbours(rows, row),
        element("div", id="conflict", class_="warning", role="alert", hidden=True),
        element("div", _player(video), _form(rows, row, video), class_="annotate"),
        element("h2", "Score it"),
        _score(context.models.usable()),
        element("h2", "Under way"),
        part(context, "queue"),
        element("h2", "Keys"),
        element(
            "dl",
            *(
                made
                for key, does in _KEYS
                for made in (element("dt", element("kbd", key)), element("dd", does))
            ),
            class_="keys",
        ),
        scripts=("clip.js",),
    )


def _form(rows: list[Row], row: Row, video: Video | None) -> Markup:
    return element(
        "form",
        _part(),
        _labels(rows),
        element(
            "p",
            element("button", "Undo (u)", id="undo", type="button", disabled=not row.undoable),
            element(
                "button",
                "Remove this clip",
                id="remove",
                type="button",
                title="Out of the table; it can be put back (Clips)",
            ),
            element("span", "", id="state", class_="aside", role="status"),
            class_="buttons",
        ),
        id="row",
        data_row=json.dumps(row.record()),
        data_video=video.id if video else "",
        autocomplete="off",
    )


def _score(models: list[Model]) -> Markup:
    if not models:
        return element("p", "There is no model yet.", class_="note")
    return element("div", choice("Scored by", models), element("button", "Score", type="button", id="score"))


def _neighbours(rows: list[Row], row: Row) -> Markup:
    ids = [one.id for one in rows]
    if row.id not in ids:  # removed in this instant
        return element("p", "")
    place = ids.index(row.id)
    before = element("a", "Previous clip", href=f"/clips/{ids[place - 1]}", rel="prev") if place else ""
    after = (
        element("a", "Next clip", href=f"/clips/{ids[place + 1]}", rel="next") if place + 1 < len(ids) else ""
    )
    return element("p", before, " ", f"{place + 1} of {len(ids)} ", after, class_="note")


def _player(video: Video | None) -> Markup:
    if video is None or video.state == "failed":
        why = "Its video is not in the folder." if video is None else f"It cannot be played: {video.reason}"
        return element("p", why, class_="warning")
    if video.state == "new":
        return element(
            "p",
            "The video is being prepared; the page shows it when it is ready. Values can be typed meanwhile.",
            class_="note",
            id="preparing",
        )
    buttons = (
        ("back", "◂ 1 (,)", "One frame back"),
        ("play", "Play", "Play or pause"),
        ("on", "1 ▸ (.)", "One frame on"),
        ("start-here", "Starts here (s)", "The action starts at this frame"),
        ("end-here", "Ends here (e)", "The action ends at this frame"),
        ("play-part", "Play the part", "Play from start to end"),
    )
    return element(
        "section",
        element(
            "video",
            src=f"/previews/{video.id}.mp4",
            preload="auto",
            playsinline=True,
            muted=True,
            id="video",
            aria_label="The clip",
        ),
        element(
            "p",
            element("label", "Place in the video", for_="place", class_="away"),
            element("input", type="range", id="place", min="0", max="0", value="0", step="1"),
            element("output", "frame –", id="frame", for_="place"),
        ),
        element("div", element("span", "", id="part"), class_="strip", aria_hidden="true"),
        element(
            "p",
            *(element("button", text, type="button", id=id, title=title) for id, text, title in buttons),
            class_="buttons",
        ),
        class_="player",
    )


def _part() -> Markup:
    return _fieldset(
        "The action",
        labelled("Starts at frame", "start_frame", **WHOLE),
        labelled("Ends before frame", "end_frame", **WHOLE),
        element("button", "Another action in this video", type="button", id="another"),
    )


def _fieldset(legend: str, *content) -> Markup:
    """Enabled by the script, that nothing is typed before it can be kept."""
    return element("fieldset", element("legend", legend), *content, disabled=True)


def _labels(rows: list[Row]) -> Markup:
    columns = list(dict.fromkeys(name for row in rows for name in row.sample.classes))
    return _fieldset(
        "What it is worth",
        labelled("Your name", "who", type="text", maxlength="100", hint="Your mark stands under it."),
        labelled("Your mark", "mark", **DECIMAL),
        element(
            "details",
            element("summary", "Marks of others"),
            element("p", "Give yours first.", class_="note"),
            element("ul", id="marks"),
            labelled("Name of a further judge", "other", type="text", maxlength="100"),
            labelled("That judge's mark", "other-mark", **DECIMAL),
            element("button", "Add", type="button", id="add-mark"),
        ),
        labelled("True score", "final_score", **DECIMAL),
        element(
            "button",
            "Mean of the marks",
            type="button",
            id="mean",
            title="Take the mean of the marks as the score",
        ),
        labelled("Difficulty", "difficulty", **DECIMAL),
        labelled("Group", "group", type="text", maxlength="200", hint="Athlete, competition or session."),
        element(
            "div",
            *(
                labelled(name, f"class-{name}", type="text", maxlength="100", data_class=name)
                for name in columns
            ),
            id="classes",
        ),
        labelled(
            "Name of a further class", "class-name", type="text", maxlength="100", hint="Such as position."
        ),
        element("button", "Add the class", type="button", id="add-class"),
        labelled("Caption", "caption", type="text", maxlength="5000"),
        labelled("Comment", "comment", type="text", maxlength="5000"),
    )
