"""What is under way and waits, and what was scored: parts of pages that are looked at again and again."""

import time
from collections.abc import Sequence

from aqa_heads.report.html import Markup, element, table

from ..api import read_score
from ..context import Context
from ..jobs import DONE, FAILED, Job
from .frame import points

_SHOWN = 100
_OF_LATE = 24 * 3600  # seconds


def queue_part(context: Context) -> Markup:
    """The queue, the job under way first, and what failed of late."""
    waiting = context.queue.unfinished(_SHOWN)
    more = context.queue.count_unfinished() - len(waiting)
    since = time.time() - _OF_LATE
    failed = [job for job in context.queue.jobs(most=20) if job.state == FAILED and (job.ended or 0) > since]
    if not waiting and not failed:
        return element("p", "Nothing is under way.", class_="note")
    lines = [_waiting(context, job) for job in waiting]
    lines += [element("li", f"… and {more} more.")] if more > 0 else []
    lines += [_failed(job) for job in failed[:5]]
    return element("ul", *lines, class_="queue", data_busy=bool(waiting))


def _failed(job: Job) -> Markup:
    return element("li", f"{what(job)}: ", element("span", job.reason, class_="leak"))


def _waiting(context: Context, job: Job) -> Markup:
    end = element("button", "Cancel", type="button", data_cancel=job.id, aria_label=f"Cancel: {what(job)}")
    if job.place:
        behind = "next" if job.place == 1 else f"number {job.place} in the queue"
        return element("li", f"{what(job)}: {behind} ", end)
    progress = context.queue.progress
    share = progress.share
    done = None if share is None else f"{share:.3f}"
    bar = element("progress", "", max="1", value=done, aria_label=what(job))
    return element(
        "li", f"{what(job)} ", bar, element("span", progress.said or "begins", class_="aside"), end
    )


def what(job: Job) -> str:
    """A job in words."""
    if job.kind == "prepare":
        return f"Preparing {job.asked['file']}"
    if job.kind == "score":
        return f"Scoring {job.asked['sample']['sample_id']} with {job.asked['label']}"
    return f"Training {job.asked['name']}"


def scores_part(context: Context) -> Markup:
    """What was scored, the newest first."""
    done = [job for job in context.queue.jobs("score", _SHOWN) if job.state == DONE]
    if not done:
        return element("p", "Nothing has been scored yet.", class_="note")
    return table(
        ("clip", "points", "interval", "true score", "model", "when"),
        [_score(context, job) for job in done],
        "scores",
    )


def _score(context: Context, job: Job) -> Sequence:
    row = context.annotations.row(job.asked.get("row", ""))
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
    jobs = context.queue.jobs("learn", 20)
    if not jobs:
        return element("p", "Nothing has been trained here yet.", class_="note")
    lines = []
    for job in jobs:
        if not job.over:
            lines.append(_waiting(context, job))
        elif job.state == FAILED:
            lines.append(_failed(job))
        else:
            lines.append(
                element(
                    "li",
                    f"{job.asked['name']} is trained: ",
                    element("a", "what it is worth", href="/models"),
                    *([". ", element("span", job.reason, class_="leak")] if job.reason else []),
                )
            )
    return element("ul", *lines, class_="queue", data_busy=any(not job.over for job in jobs))


PARTS = {"queue": queue_part, "scores": scores_part, "learned": learned_part}


def part(context: Context, name: str) -> Markup:
    """A part that its page's script looks at again."""
    return element("div", PARTS[name](context), id=f"part-{name}", data_part=name)
