"""The results as files: all that is known of rows and runs as CSV, the table as LaTeX and Markdown."""

from collections.abc import Sequence

from ..attachments import Attachments
from ..families import Family, varied_settings
from ..floors import Floor
from ..records import Ceiling, Choice
from ..report import Report
from ..results import Result
from ..wording import interval_text, mean_accuracy, percentage_text, setting, signed

METRICS = ("spearman", "kendall", "pearson", "relative_l2", "mae")
# Of the spread of scores, where a score head has one.
UNCERTAINTY = ("crps", "coverage_90", "width_90")
_RESULT_COLUMNS = (
    *("kind", "row", "label", "experiment", "protocol", "difficulty", "seeds", "folds", "n_test"),
    *(name for metric in METRICS for name in (metric, f"{metric}_std")),
    *("spearman_low", "spearman_high", "drawn", "spearman_fisher_z", "class_accuracy", "train_loss"),
    *("seconds", "parameters", "leaked", *UNCERTAINTY),
)
_RUN_COLUMNS = (
    *("row", "folder", "seed", "fold", "n_train", "n_val", "n_test"),
    *METRICS,
    *("spearman_low", "spearman_high", "drawn", "train_loss", "epochs", "chosen_epoch", "best_test_spearman"),
    *("seconds", "leaked", *UNCERTAINTY),
)


def keep_results(report: Report, attachments: Attachments) -> None:
    """Table 1 and the runs behind it, as CSV."""
    varied = varied_settings(report.families)
    rows = [
        _result_record(report, family) | {name: setting(family, name) for name in varied}
        for family in report.families
    ]
    rows += [_floor_record(floor) for floor in report.floors]
    rows += [_ceiling_record(ceiling) for ceiling, _ in report.ceilings]
    attachments.table(
        "results",
        (*_RESULT_COLUMNS, *varied),
        ([row.get(name) for name in (*_RESULT_COLUMNS, *varied)] for row in rows),
        "Table 1 with results, floors and ceiling, one line per row",
    )
    attachments.table(
        "runs",
        _RUN_COLUMNS,
        (_run_record(report, family, result) for family in report.families for result in family.results),
        "the same for every single run",
    )


def keep_printed(report: Report, header: Sequence[str], attachments: Attachments) -> None:
    """The table as LaTeX and Markdown."""
    rows = []
    for family in report.distinct:
        ends = report.intervals.of(family)
        cells = [
            _printed(family.number(name), family.std(family.numbers(name)), digits)
            for name, digits in (("spearman", 3), ("mae", 2), ("relative_l2", 2))
        ]
        cells.insert(1, interval_text(ends) if ends else "–")
        rows.append([family.short, *cells, *_printed_classes(family, header)])
    for floor in report.floors:
        found = floor.metrics
        cells = [_printed(found.spearman, None, 3), "", _printed(found.mae, None, 2)]
        rows.append([floor.title, *cells, _printed(found.relative_l2, None, 2), *[""] * (len(header) - 5)])
    for ceiling, _ in report.ceilings:
        rows.append(["One judge", _printed(ceiling.spearman, None, 3), *[""] * (len(header) - 2)])
    attachments.printed("results", header, rows, "the results with floors and ceiling")


def _printed(value: float | None, std: float | None, digits: int) -> str:
    spread = "" if std is None else f" ± {signed(std, digits)}"
    return "–" if value is None else f"{signed(value, digits)}{spread}"


def _printed_classes(family: Family, header: Sequence[str]) -> list[str]:
    share = mean_accuracy(family)
    return [] if len(header) == 5 else ["–" if share is None else percentage_text(share)]


def _result_record(report: Report, family: Family) -> dict:
    low, high = ends = report.intervals.of(family) or (None, None)
    record = {
        "kind": "run",
        "row": family.short,
        "label": family.label,
        "experiment": family.experiment,
        "protocol": family.asked.protocol,
        "difficulty": family.asked.difficulty,
        "seeds": " ".join(str(seed) for seed in family.seeds),
        "folds": " ".join(family.folds),
        "n_test": len(family.tested_on),
        "spearman_low": low,
        "spearman_high": high,
        "drawn": None if None in ends else report.intervals.drawn(family),
        "spearman_fisher_z": family.fisher_z,
        "class_accuracy": mean_accuracy(family),
        "train_loss": family.number("train_loss"),
        "seconds": family.seconds,
        "parameters": family.number("parameters"),
        "leaked": max(result.leaked for result in family.results),
    }
    for name in METRICS:
        record |= {name: family.number(name), f"{name}_std": family.std(family.numbers(name))}
    said = family.table("uncertainty")
    return record | {name: said.get(name) for name in UNCERTAINTY}


def _floor_record(floor: Floor) -> dict:
    found = floor.metrics
    errors = {"spearman": found.spearman, "relative_l2": found.relative_l2, "mae": found.mae}
    return {"kind": "floor", "row": floor.name, "label": floor.title, "n_test": found.n, **errors}


def _ceiling_record(ceiling: Ceiling) -> dict:
    label = "One judge against the others"
    return {
        "kind": "ceiling",
        "row": "judge",
        "label": label,
        "n_test": ceiling.n,
        "spearman": ceiling.spearman,
    }


def _run_record(report: Report, family: Family, result: Result) -> list:
    ends, drawn = report.intervals.of_run(family, result)
    low, high = ends or (None, None)
    assessment = result.chosen.get("assessment", Choice())
    return [
        family.short,
        result.name,
        result.seed,
        result.fold,
        result.sizes.n_train,
        result.sizes.n_val,
        result.sizes.n_test,
        *map(result.number, METRICS),
        low,
        high,
        ends and drawn,
        result.number("train_loss"),
        result.sizes.epochs,
        assessment.epoch,
        result.best_on_test.spearman,
        result.seconds,
        result.leaked,
        *(result.numbers("uncertainty").get(name) for name in UNCERTAINTY),
    ]
