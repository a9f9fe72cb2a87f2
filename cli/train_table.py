"""The results of runs as a table for the terminal: the rows and means of the report."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from aqa_heads.candidates import Contest
    from aqa_heads.report.families import Family
    from aqa_heads.runs.format import Run


def results_table(runs: "Sequence[Run]") -> "Table":
    """One row per experiment: over several seeds or folds the mean and its standard deviation; below them the
    floors.
    """
    from rich.table import Table

    from aqa_heads.report.families import families_of
    from aqa_heads.report.floors import floor_name
    from aqa_heads.report.results import Result
    from aqa_heads.report.wording import mean_known

    families = families_of([Result.of(run) for run in runs])
    classified = any(family.table("class_accuracy") for family in families)
    captioned = any(run.summary["captions"] for run in runs)
    table = Table(title=_title(families, classified), caption=_caption(families))
    table.add_column("experiment", overflow="fold")
    for name in (
        "Spearman",
        "relative L2",
        *(["classes"] if classified else []),
        *(["CIDEr"] if captioned else []),
        "seconds",
    ):
        table.add_column(name, justify="right", overflow="fold")
    for family in families:
        cells = [
            _over_runs(family, family.numbers("spearman"), 3),
            _over_runs(family, family.numbers("relative_l2"), 2),
        ]
        if classified:
            shares = [mean_known(result.numbers("class_accuracy").values()) for result in family.results]
            cells.append(_over_runs(family, [_percent(share) for share in shares], 1))
        if captioned:
            cider = [result.numbers("captions").get("cider") for result in family.results]
            cells.append(_over_runs(family, cider, 3))
        table.add_row(family.label, *cells, _number(family.seconds, 1))
    table.add_section()
    for name, floor in families[0].floors.items():
        cells = _number(floor.spearman, 3), _number(floor.relative_l2, 2)
        table.add_row(floor_name(name), *cells, style="dim")
    if classified:
        shares = [mean_known(family.table("majority_accuracy").values()) for family in families]
        known = next((share for share in shares if share is not None), None)
        table.add_row("Majority class", "", "", _number(_percent(known), 1), style="dim")
    return table


def validation_table(contest: "Contest") -> "Table":
    """What validation says of every candidate, the chosen one marked."""
    from rich.table import Table

    from aqa_heads.candidates import MANY

    count, scored = len(contest.candidates), contest.best.accuracy is None
    fold = "" if contest.fold is None else f", fold {contest.fold} not looked at"
    on = f"Validation, {contest.samples} held-out samples" if scored else "Validation, classes"
    caption = None
    if count >= MANY:
        caption = (
            f"The best of {count} looks better on validation than it is: each result has its share of luck."
            " Its test result has not."
        )
    table = Table(title=f"{on}{fold or '; the test samples are not looked at'}", caption=caption)
    table.add_column("candidate", overflow="fold")
    for name in ("relative L2", "Spearman") if scored else ("class accuracy in %",):
        table.add_column(name, justify="right")
    for candidate in contest.candidates:
        numbers = (
            (_number(candidate.relative_l2, 2), _number(candidate.spearman, 3))
            if scored
            else (_number(_percent(candidate.accuracy), 1),)
        )
        chosen = candidate is contest.best
        label = candidate.label + (" ← chosen" if chosen else "")
        table.add_row(label, *numbers, style="bold" if chosen else None)
    return table


def _title(families: "Sequence[Family]", classified: bool) -> str:
    several = max(len(family.results) for family in families)
    over = f", mean ± standard deviation over {families[0].spread_over or 'runs'}" if several > 1 else ""
    classes = "; classes: mean accuracy in %" if classified else ""
    return f"Test samples, {_epoch(families)}{over}{classes}"


def _epoch(families: "Sequence[Family]") -> str:
    protocols = {family.asked.protocol for family in families}
    if protocols == {"honest"}:
        return "epoch chosen on held-out samples"
    return "after the last epoch" if protocols == {"paper"} else "honest and paper protocol"


def _caption(families: "Sequence[Family]") -> str:
    from aqa_heads.settings.experiments import EXPERIMENTS

    lines = []
    rows = [family for family in families if family.experiment in EXPERIMENTS]
    direct = [family for family in rows if family.asked.direct and not family.asked.literal]
    if any(not family.end_to_end for family in direct):
        lines.append(
            "Not literal: trained as suits cached features, the score from a ridge regression on"
            " (docs/training.md)."
        )
    if any(family.end_to_end for family in direct):
        lines.append(
            "Not literal: end to end from heads as on cached features (docs/training.md, docs/end_to_end.md)."
        )
    refitted = [family.refitted for family in families]
    if any(refitted) and not all(refitted):
        names = ", ".join(family.short for family in families if family.refitted)
        lines.append(f"Trained on the validation samples too, unlike the other rows: {names}.")
    if not all(_same_floors(family, families[0]) for family in families):
        lines.append(
            f"Floors are those of {families[0].short}; other rows were tested or trained on other samples."
        )
    return "\n".join(lines)


def _same_floors(one: "Family", other: "Family") -> bool:
    """Whether they are equal but for rounding, which is that of the order in which samples were summed."""
    numbers = [
        {(name, key): value for name, floor in family.floors.items() for key, value in vars(floor).items()}
        for family in (one, other)
    ]
    return numbers[0].keys() == numbers[1].keys() and all(
        math.isclose(value, numbers[1][key], rel_tol=1e-9)
        if value is not None and numbers[1][key] is not None
        else value is numbers[1][key]
        for key, value in numbers[0].items()
    )


def _over_runs(family: "Family", values: list[float | None], digits: int) -> str:
    mean, spread = family.mean(values), family.std(values)
    return _number(mean, digits) + ("" if spread is None else f" ± {_number(spread, digits)}")


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or value != value else f"{value:z.{digits}f}"
