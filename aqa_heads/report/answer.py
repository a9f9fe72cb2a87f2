"""What a report amounts to, in a sentence or two: no more than its samples can carry."""

from collections.abc import Sequence

from ..evaluation.bootstrap import MIN_SAMPLES
from .families import Family
from .floors import Floor
from .report import Report
from .wording import PERCENT, counted, interval_text, listed, names_of, percentage_text, signed

_MOST_NAMES = 3


def answer(report: Report) -> list[str]:
    """Sentences; the first is the answer."""
    ranked = report.ranked
    if not report.families:
        return ["No run is finished yet."]
    if not ranked:
        return [_without_scores(report)]
    if not report.same_tests:
        what = "were tested on different samples" if _sizes_differ(report) else "have different true scores"
        return [f"These {len(report.distinct)} models {what}, so none is called better than another."]
    intervals = {row.order: report.intervals.of(row) for row in ranked}
    n = len(ranked[0].truth)
    if not any(intervals.values()):
        return [_nothing_claimed(report, n)]
    floor = _highest(report.floors)
    bar, beside = (floor.rho, _lower(floor.title)) if floor and (floor.rho or 0) > 0 else (0.0, "chance")
    above = [row for row in ranked if (ends := intervals[row.order]) is not None and ends[0] > bar]
    return [_beside(above, ranked, beside, n), *_numbers(report, ranked, intervals, floor)]


def _nothing_claimed(report: Report, n: int) -> str:
    ranked = report.ranked
    if n < MIN_SAMPLES:
        why = f"{counted(n, 'test sample')} {'is' if n == 1 else 'are'} too few to rank models"
    else:
        why = report.intervals.lacking(ranked[0])
    if len(ranked) > 1:
        return f"No order of the models is claimed: {why}."
    return f"ρ = {signed(ranked[0].number('spearman'))} on {n} test samples says little: {why}."


def _beside(above: Sequence[Family], ranked: Sequence[Family], beside: str, n: int) -> str:
    if not above:
        who = ranked[0].short if len(ranked) == 1 else "No model"
        return f"{who} is {'not ' if len(ranked) == 1 else ''}told apart from {beside} on these {n} samples."
    if len(above) > _MOST_NAMES:
        who, one = f"{len(above)} of {len(ranked)} models", False
    else:
        who, one = names_of(above), len(above) == 1 and not above[0].alike
    return f"{who} {'ranks' if one else 'rank'} these {n} samples better than {beside}."


def _numbers(report: Report, ranked: Sequence[Family], intervals: dict, floor: Floor | None) -> list[str]:
    """The highest correlation, what needs no video, and what a judge reaches."""
    top = max(row.number("spearman") for row in ranked)
    best = [row for row in ranked if row.number("spearman") == top]
    ends = intervals[best[0].order]
    said = f"ρ = {signed(top)}" + (f" (95{PERCENT} interval {interval_text(ends)})" if ends else "")
    sentences = [f"Highest: {names_of(best)}, {said}." if len(ranked) > 1 else f"{said}."]
    if floor is not None and floor.rho is not None:
        sentences.append(f"Without the video, {_lower(floor.title)} reaches {signed(floor.rho)}.")
    judges = {ceiling.spearman for ceiling, _ in report.ceilings}
    if len(judges) == 1:
        sentences.append(f"One judge agrees with the others at {signed(judges.pop())}.")
    return sentences


def _without_scores(report: Report) -> str:
    named = [(row, row.table("class_accuracy")) for row in report.distinct]
    named = [(row, shares) for row, shares in named if any(value is not None for value in shares.values())]
    said = (
        "No run has a correlation: its test samples have no scores, or every sample was given the same score."
    )
    if len(named) != 1:
        return said
    row, shares = named[0]
    classes = listed(
        f"{name.replace('_', ' ')} {percentage_text(value)}"
        for name, value in shares.items()
        if value is not None
    )
    return f"{said} {row.short} names classes correctly: {classes}."


def _highest(floors: Sequence[Floor]) -> Floor | None:
    known = [floor for floor in floors if floor.rho is not None]
    return max(known, key=lambda floor: floor.rho, default=None)


def _sizes_differ(report: Report) -> bool:
    return len({row.tested_on for row in report.distinct}) > 1


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]
