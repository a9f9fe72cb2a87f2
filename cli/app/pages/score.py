"""The page of a score: that of aqa-score, with the way back; or how far it is."""

import re

from aqa_heads.report.html import element, join

from ..context import Context
from ..jobs import FAILED, Job
from ..scoring import score_files
from .frame import page
from .work import what

INDEX = "index.html"
_MAIN = re.compile("<main[^>]*>")


def score_page(context: Context, job: Job) -> tuple[str, bool]:
    """The page, and whether it is that of aqa-score, which has a policy of its own."""
    name = job.asked["sample"]["sample_id"]
    path = score_files(context.folder, job.id).get(INDEX)
    if path is not None and job.over:
        return _with_the_way_back(path.read_text(encoding="utf-8"), context, job), True
    if job.over:
        why = job.reason if job.state == FAILED else "Its files are not there any more."
        return page(name, "/", element("p", why, class_="warning")), False
    line = element("p", f"{what(job)}: not done yet.", class_="note")
    return page(name, "/", line, scripts=("wait.js",)), False


def _with_the_way_back(text: str, context: Context, job: Job) -> str:
    row = context.annotations.row(job.asked.get("row", ""))
    links = [element("a", "All scores", href="/")]
    if row is not None:
        links.append(element("a", "Its true score, start and end", href=f"/clips/{row.id}"))
    links += [element("a", name, href=name) for name in ("scores.csv", "scores.json")]
    way = element("nav", element("p", join(links, " · "), class_="note"), aria_label="aqa-app")
    return _MAIN.sub(lambda found: found[0] + way, text, count=1)
