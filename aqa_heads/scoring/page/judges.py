"""The marks of judges beside a predicted score."""

from ...report.html import Markup, element, table
from ..results import Panel


def panel_section(panel: Panel | None) -> list[Markup]:
    """Who gave which mark, who is furthest from the others, and what the score would be without."""
    if panel is None:
        return []
    known = any(judge.points_without is not None for judge in panel.judges)
    header = ("Judge", "Mark", "From the others' mean", *(["Score without"] if known else []))
    rows = []
    for judge in panel.judges:
        cells = [f"{judge.mark:g}", f"{judge.deviation:+.2f}"]
        cells += [_number(judge.points_without)] if known else []
        name = (
            f"{judge.number}, furthest from the others"
            if judge.number == panel.furthest
            else f"{judge.number}"
        )
        rows.append((name, *cells))
    said = [*_rule(panel), *_furthest(panel), "It says who differs, not who is right."]
    return [
        element("h2", "The judges"),
        element("p", " ".join(said)),
        table(header, rows, "tested"),
        *(
            [element("p", "Score without: with the others' mean in place of the mark.", class_="note")]
            if known
            else []
        ),
    ]


def _rule(panel: Panel) -> list[str]:
    said = []
    if not panel.rule:
        said.append("By which rule their marks make a score is not known.")
    elif panel.points is None:
        said.append(f"Their score is {panel.rule}; the difficulty is not known.")
    else:
        said.append(f"Their marks make {panel.points:.2f} points: {panel.rule}.")
    if panel.predicted_mark is not None:
        said.append(f"The predicted score is that of a mark of {panel.predicted_mark:.2f} by each.")
    return said


def _furthest(panel: Panel) -> list[str]:
    judge = panel.furthest_judge
    if judge is None:
        return ["All gave the same."]
    side = "above" if judge.deviation > 0 else "below"
    share = panel.share_as_far
    often = "" if share is None else f"; in {share:.0%} of training panels one is as far"
    return [f"Judge {judge.number} is {abs(judge.deviation):.2f} {side} the mean of the others{often}."]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
