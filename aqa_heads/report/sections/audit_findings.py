"""What the audit of the samples and the split found, as every run's summary holds it."""

from collections.abc import Sequence

from ...data.leaks import Leak
from ...errors import RunError
from ...evaluation.audit import Audit
from ...evaluation.score_rules import ScoreRule
from ...evaluation.spoken_scores import SpokenScores
from ..attachments import Attachments
from ..html import Section, element
from ..report import Report
from ..results import Result
from ..wording import small, whose_runs

_MOST_LINES = 2
_TOPICS = {
    "samples": "Samples",
    "leaks": "Leaks",
    "backbone": "Backbone",
    "groups": "Groups",
    "neighbours": "Neighbours",
    "floors": "Floors",
    "ceiling": "Ceiling",
    "scores": "Scores",
    "captions": "Captions",
    "missing": "Missing labels",
}


def audit_section(report: Report, attachments: Attachments) -> Section | None:
    """The findings by topic, each said once with the runs that it holds for; nothing where no run was
    audited.
    """
    read = [(result, *audited) for result in report.results if (audited := _read(result)) is not None]
    if not read:
        return None
    found = [(result, audit) for result, audit, _ in read]
    lines: dict[str, dict[str, list[Result]]] = {topic: {} for topic in _TOPICS}
    for result, _, findings in read:
        for topic, line in findings:
            lines.setdefault(topic, {}).setdefault(line, []).append(result)
    _keep(lines, found, attachments)
    audited = [result for result, _ in found]
    for topic in ("floors", "ceiling"):
        if len(lines[topic]) > _MOST_LINES:
            differ = "not the same for all runs, as their training samples are not: see the rows of Table 1"
            lines[topic] = {differ: audited}
    leaked = any(audit.leaks for _, audit in found)
    parts = []
    for topic, said in lines.items():
        if said:
            alarm = "leak" if topic == "leaks" and leaked else None
            parts.append(element("dt", _TOPICS.get(topic, topic), class_=alarm))
        for line, owners in said.items():
            parts.append(element("dd", line, *map(small, whose_runs(owners, audited))))
    said = "the test is leaked" if leaked else "no leak was found"
    return Section("Audit", (element("dl", *parts, class_="audit"),), said)


def _keep(
    lines: dict[str, dict[str, list[Result]]], found: Sequence[tuple[Result, Audit]], attachments: Attachments
) -> None:
    """Findings and leaks, as CSV."""
    rows = [
        [topic, line, " ".join(result.name for result in owners)]
        for topic, said in lines.items()
        for line, owners in said.items()
    ]
    attachments.table("audit", ["topic", "finding", "runs"], rows, "findings of the audit")
    header = ["sample_id", "split", "other", "other_split", "video", "why", "frames"]
    leaks = [
        [result.name, *(getattr(leak, name) for name in header)]
        for result, audit in found
        for leak in audit.leaks
    ]
    if leaks:
        attachments.table("leaks", ["run", *header], leaks, "every sample that is on two sides of a split")


def _read(result: Result) -> tuple[Audit, list[tuple[str, str]]] | None:
    """The audit of a run, and its findings by topic; None where it was not audited."""
    record = result.summary.get("audit")
    if not record:
        return None
    try:
        spoken = record["spoken_scores"]
        audit = Audit(
            **record
            | {
                "leaks": [Leak(**leak) for leak in record["leaks"]],
                "score_rules": [ScoreRule(**rule) for rule in record["score_rules"]],
                "spoken_scores": None if spoken is None else SpokenScores(**spoken),
                # JSON has no number for what is not defined.
                "floors": {name: floor and _numbers(floor) for name, floor in record["floors"].items()},
            }
        )
        return audit, audit.findings()
    # Each value is of its kind (`runs.schema`); a null may still not go with the values beside it.
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise RunError(
            f"{result.path}: the audit in summary.json cannot be read ({type(error).__name__}: {error});"
            " train the run again"
        ) from None


def _numbers(floor: dict) -> dict:
    return {name: float("nan") if value is None else value for name, value in floor.items()}
