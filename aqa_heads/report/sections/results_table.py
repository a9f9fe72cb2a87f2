"""The paper's Table 1 with results: one row per family of runs, then the floors and the ceiling."""

from collections.abc import Sequence

from ..attachments import Attachments
from ..families import Family, varied_settings
from ..floors import Floor
from ..html import Markup, element, join, number, table
from ..records import Ceiling, Choice
from ..report import Report
from ..results import Result
from ..wording import (
    PERCENT,
    SETTINGS,
    decimals,
    in_paper,
    in_words,
    interval_text,
    mean_known,
    parameter_count,
    percentage,
    row_name,
    signed,
    small,
    spread_asides,
    whose,
)

_METRICS = ("spearman", "kendall", "pearson", "relative_l2", "mae")
# Of the spread of scores, where a score head has one.
_UNCERTAINTY = ("crps", "coverage_90", "width_90")
_RESULT_COLUMNS = (
    *("kind", "row", "label", "experiment", "protocol", "difficulty", "seeds", "folds", "n_test"),
    *(name for metric in _METRICS for name in (metric, f"{metric}_std")),
    *("spearman_low", "spearman_high", "spearman_fisher_z", "class_accuracy", "train_loss"),
    *("seconds", "parameters", "leaked", *_UNCERTAINTY),
)
_RUN_COLUMNS = (
    *("row", "folder", "seed", "fold", "n_train", "n_val", "n_test"),
    *_METRICS,
    *("spearman_low", "spearman_high", "train_loss", "epochs", "chosen_epoch", "best_test_spearman"),
    *("seconds", "leaked", *_UNCERTAINTY),
)


def results_table(report: Report) -> Markup:
    """One row per family, in its order, one per floor, and the ceiling."""
    families = report.families
    one_size = len({len(family.tested_on) for family in families}) == 1
    varied = varied_settings(families)
    one_seed = len({str(family.seeds) for family in families if len(family.seeds) == 1}) < 2
    rows = [_result_row(report, family, one_size, one_seed, varied) for family in families]
    foot = [*_floor_rows(report, len(varied)), *_ceiling_rows(report, len(varied))]
    settings = ("Backbone", "RNN cell", "Stacked cells", "Attention", "Feature encoding")
    settings += tuple(name.replace("_", " ").capitalize() for name in varied)
    numbers = (
        ("Spearman’s\N{NO-BREAK SPACE}ρ", f"95{PERCENT} interval"),
        ("Relative L2", "×100"),
        ("MAE", "points"),
        ("Class accuracy", "mean"),
        ("Training loss", ""),
        ("Time", "seconds"),
        ("Parameters", "trained"),
    )
    head = element(
        "tr",
        element("th", "Run", scope="col"),
        *(element("th", name, scope="col", class_="setting") for name in settings),
        *(
            element("th", name, small(unit) if unit else "", scope="col", class_="number")
            for name, unit in numbers
        ),
    )
    below = [element("tbody", *foot, class_="floor")] if foot else []
    whole = element("table", element("thead", head), element("tbody", *rows), *below, class_="results")
    return element("div", whole, class_="scroll", tabindex="0")


def further_metrics(report: Report) -> list[Markup]:
    """Other agreement metrics, and the averages over folds, each by its name."""
    folded = any(family.folded for family in report.families)
    header = ["Run", "Spearman’s ρ", "Kendall’s τ", "Pearson’s r", "Relative L2 ×100", "MAE (points)"]
    header[1:2] = ["Spearman’s ρ, plain average", "Spearman’s ρ, by Fisher z"] if folded else ["Spearman’s ρ"]
    spreads = any(family.table("uncertainty") for family in report.families)
    if spreads:
        header += ["CRPS (points)", f"Within the 90{PERCENT} interval", "Its width (points)"]
    rows = []
    for family in report.families:
        cells = [_spread(family, name) for name in _METRICS]
        cells[1:1] = [decimals(family.fisher_z)] if folded else []
        said = family.table("uncertainty")
        crps, coverage, width = (said.get(name) for name in _UNCERTAINTY)
        cells += [decimals(crps), percentage(coverage), decimals(width)] if spreads else []
        rows.append([row_name(family), *cells])
    folds = (
        " Averages over folds: plain is the arithmetic mean; by Fisher z is tanh of the mean artanh, which is"
        " never closer to 0, so one must not be compared with the other."
        if folded
        else ""
    )
    spread = (
        " CRPS, the continuous ranked probability score, is the mean absolute error where nothing is said of"
        f" the spread; the interval is to hold 90{PERCENT} of the true scores, and the narrower the better."
        if spreads
        else ""
    )
    said = element(
        "p",
        "All are computed on the test samples; ± is the standard deviation over runs." + folds + spread,
        class_="note",
    )
    return [element("details", element("summary", "Further metrics"), said, table(header, rows, "metrics"))]


def keep_results(report: Report, attachments: Attachments) -> None:
    """Table 1 and the runs behind it, as CSV."""
    varied = varied_settings(report.families)
    rows = [
        _result_record(report, family) | {name: _varied(family, name) for name in varied}
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


def _result_row(
    report: Report, family: Family, one_size: bool, one_seed: bool, varied: Sequence[str]
) -> Markup:
    n, scored = len(family.tested_on), len(family.truth)
    sizes = [] if one_size else [f"n {n}"]
    seeds = (
        [f"seed {seed}" for seed in family.seeds if seed is not None]
        if len(family.seeds) == 1 and not one_seed
        else []
    )
    asides = [", ".join(sizes + seeds)]
    asides += [] if scored in (0, n) else [f"{scored} of {n} have a score"]
    named = [row_name(family, *asides), element("span", in_words(family), class_="aside narrow")]
    rho, loss, seconds = family.number("spearman"), family.number("train_loss"), family.seconds
    found = report.intervals.of(family)
    interval = [] if found is None else [small(interval_text(found))]
    numbers = [
        join(
            [
                decimals(rho, "undefined" if scored else "–"),
                *spread_asides(family.std(family.numbers("spearman"))),
                *interval,
            ]
        ),
        _spread(family, "relative_l2", 2),
        _spread(family, "mae", 2),
        percentage(mean_known(family.table("class_accuracy").values())),
        decimals(loss) if (loss or 0) < 10 else number(loss, f"{loss:,.1f}"),
        number(seconds, f"{seconds or 0:,.1f}" if (seconds or 0) < 100 else f"{seconds:,.0f}"),
        parameter_count(family.number("parameters")),
    ]
    settings = [_setting(family, name) for name in SETTINGS]
    return _row(named, settings + [_varied(family, name) for name in varied], numbers)


def _varied(family: Family, name: str) -> str:
    """A setting's value; empty where the model has no use of it."""
    value = family.config.get(name)
    return "" if value is None or family.number("train_loss") is None else f"{value}"


def _spread(family: Family, name: str, digits: int = 3) -> Markup:
    value, std = family.number(name), family.std(family.numbers(name))
    return join([number(value, signed(value or 0, digits)), *spread_asides(std, digits)])


def _floor_rows(report: Report, varied: int) -> list[Markup]:
    rows = []
    for floor in report.floors:
        error, mae, known = floor.metrics.relative_l2, floor.metrics.mae, floor.metrics.n
        partly = known is not None and any(
            known != len(family.truth) for family in floor.owners if family.truth
        )
        asides = ["floor" + (f", n {known:.0f}" if partly else ""), *whose(floor.owners, report.families)]
        numbers = [
            join([decimals(floor.rho, "undefined"), *_range_aside(floor)]),
            number(error, signed(error or 0, 2)),
            number(mae, signed(mae or 0, 2)),
            "",
            "",
            "",
            "",
        ]
        rows.append(_row([floor.title, *map(small, asides)], [""] * (len(SETTINGS) + varied), numbers))
    return rows


def _range_aside(floor: Floor) -> list[Markup]:
    """Rows with other validation samples have other training samples, and so other floors."""
    if floor.rho is None or floor.lowest is None or floor.rho - floor.lowest < 0.0005:
        return []
    return [small(f"lowest {signed(floor.lowest)}")]


def _ceiling_rows(report: Report, varied: int) -> list[Markup]:
    rows = []
    for ceiling, owners in report.ceilings:
        low, high = ceiling.lowest, ceiling.highest
        between = [] if low is None or high is None else [small(f"{signed(low)} to {signed(high)}")]
        asides = ["ceiling", *whose(owners, report.families)]
        numbers = [join([decimals(ceiling.spearman), *between]), "", "", "", "", "", ""]
        rows.append(_row(["One judge", *map(small, asides)], [""] * (len(SETTINGS) + varied), numbers))
    return rows


def _row(named: Sequence, settings: Sequence, numbers: Sequence) -> Markup:
    return element(
        "tr",
        element("th", *named, scope="row"),
        *(element("td", cell, class_="setting") for cell in settings),
        *(element("td", cell, class_="number") for cell in numbers),
    )


def _setting(family: Family, name: str) -> Markup | str:
    """What the row used, and what its row of Table 1 says where that is something else."""
    of_paper = family.asked.table1.get(name)
    used = family.features.backbone if name == "backbone" else family.config.get(name)
    used = of_paper if used is None else used
    if of_paper is None or in_paper(of_paper) == in_paper(used):
        return in_paper(used)
    return join([in_paper(used), small(f"Table\N{NO-BREAK SPACE}1: {in_paper(of_paper)}")])


def _result_record(report: Report, family: Family) -> dict:
    low, high = report.intervals.of(family) or (None, None)
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
        "spearman_fisher_z": family.fisher_z,
        "class_accuracy": mean_known(family.table("class_accuracy").values()),
        "train_loss": family.number("train_loss"),
        "seconds": family.seconds,
        "parameters": family.number("parameters"),
        "leaked": max(result.leaked for result in family.results),
    }
    for name in _METRICS:
        record |= {name: family.number(name), f"{name}_std": family.std(family.numbers(name))}
    said = family.table("uncertainty")
    return record | {name: said.get(name) for name in _UNCERTAINTY}


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
    low, high = report.intervals.of_run(family, result) or (None, None)
    assessment = result.chosen.get("assessment", Choice())
    return [
        family.short,
        result.name,
        result.seed,
        result.fold,
        result.sizes.n_train,
        result.sizes.n_val,
        result.sizes.n_test,
        *map(result.number, _METRICS),
        low,
        high,
        result.number("train_loss"),
        result.sizes.epochs,
        assessment.epoch,
        result.best_on_test.spearman,
        result.seconds,
        result.leaked,
        *(result.numbers("uncertainty").get(name) for name in _UNCERTAINTY),
    ]
