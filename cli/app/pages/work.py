"""What is under way and waits, and what was scored: parts of pages that are looked at again and again."""

import time
from collections.abc import Sequence

from aqa_heads.report.html import Markup, element, join, table

from ..annotations import Row
from ..api import read_score
from ..context import Context
from ..jobs import FAILED, Job
from .frame import points

_SHOWN = 100


def queue_part(context: Context) -> Markup:
    """The queue, the job under way first, and what failed of late."""
    waiting = context.queue.unfinished(_SHOWN)
    more = context.queue.count_unfinished() - len(waiting)
    failed = [job for job in context.queue.jobs(most=20) if job.state == FAILED][:5]
    if not waiting and not failed:
        return element("p", "Nothing is under way.", class_="note")
    names = _names(context)
    lines = [_waiting(context, job, names) for job in waiting]
    lines += [element("li", f"… and {more} more.")] if more > 0 else []
    lines += [
        element("li", f"{what(job, names)}: ", element("span", job.reason, class_="leak")) for job in failed
    ]
    return element("ul", *lines, class_="queue", data_busy=bool(waiting))


def _waiting(context: Context, job: Job, names: dict[str, str]) -> Markup:
    end = element(
        "button", "Cancel", type="button", data_cancel=job.id, aria_label=f"Cancel: {what(job, names)}"
    )
    if job.place:
        behind = "next" if job.place == 1 else f"number {job.place} in the queue"
        return element("li", f"{what(job, names)}: {behind} ", end)
    progress = context.queue.progress
    share = progress.share
    bar = element(
        "progress",
        "",
        max="1",
        value=None if share is None else f"{share:.3f}",
        aria_label=what(job, names),
    )
    return element(
        "li", f"{what(job, names)} ", bar, element("span", progress.said or "begins", class_="aside"), end
    )


def what(job: Job, names: dict[str, str]) -> str:
    """A job in words."""
    if job.kind == "prepare":
        return f"Preparing {job.asked['file']}"
    if job.kind == "score":
        return f"Scoring {job.asked['sample']['sample_id']} with {job.asked['label']}"
    return f"Training {job.asked['name']}"


def _names(context: Context) -> dict[str, str]:
    return {video.id: video.file for video in context.videos.all()}


def scores_part(context: Context) -> Markup:
    """What was scored, the newest first."""
    rows = {row.id: row for row in context.annotations.rows()}
    done = [job for job in context.queue.jobs("score", _SHOWN) if job.over and job.state != FAILED]
    if not done:
        return element("p", "Nothing has been scored yet.", class_="note")
    return table(
        ("clip", "points", "interval", "true score", "model", "when"),
        [_score(context, job, rows.get(job.asked.get("row"))) for job in done],
        "scores",
    )


def _score(context: Context, job: Job, row: Row | None) -> Sequence:
    found = read_score(context.folder.scores / job.id) or {}
    interval = found.get("interval")
    true = None if row is None else row.sample.final_score
    link = element("a", job.asked["sample"]["sample_id"], href=f"/scores/{job.id}/")
    typed = (
        element("a", f"{true:g}" if true is not None else "type it", href=f"/clips/{row.id}") if row else "–"
    )
    return (
        link,
        points(found.get("points")),
        "–" if not interval else f"{interval[0]:.1f} to {interval[1]:.1f}",
        typed,
        job.asked["label"],
        time.strftime("%Y-%m-%d %H:%M", time.localtime(job.made)),
    )


def learned_part(context: Context) -> Markup:
    """What was trained here, and is being trained."""
    names = _names(context)
    jobs = context.queue.jobs("learn", 20)
    if not jobs:
        return element("p", "Nothing has been trained here yet.", class_="note")
    lines = []
    for job in jobs:
        if not job.over:
            lines.append(_waiting(context, job, names))
        elif job.state == FAILED:
            lines.append(element("li", f"{what(job, names)}: ", element("span", job.reason, class_="leak")))
        else:
            lines.append(
                element(
                    "li",
                    f"{job.asked['name']} is trained: ",
                    element("a", "what it is worth", href="/models"),
                )
            )
    return element("ul", *lines, class_="queue", data_busy=any(not job.over for job in jobs))


PARTS = {"queue": queue_part, "scores": scores_part, "learned": learned_part}


def part(context: Context, name: str) -> Markup:
    """A part that its page's script looks at again."""
    return element("div", PARTS[name](context), id=f"part-{name}", data_part=name)


def parts(context: Context, *names: str) -> Markup:
    return join(part(context, name) for name in names)
