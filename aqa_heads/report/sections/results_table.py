"""The results: a row per model, then the floors and the ceiling; and what every row is made of."""

from collections.abc import Sequence

from ..attachments import Attachments
from ..families import Family, varied_settings
from ..floors import Floor
from ..html import Markup, Section, element, join, number, table, term
from ..report import Report
from ..unfinished import Unfinished
from ..wording import (
    PERCENT,
    SETTINGS,
    decimals,
    in_paper,
    interval_text,
    mean_accuracy,
    parameter_count,
    percentage,
    row_name,
    setting,
    signed,
    small,
    spread_asides,
    whose,
)
from .caveats import notes
from .result_files import METRICS, UNCERTAINTY, keep_printed, keep_results

_HEADER = ("Model", "Spearman’s ρ", f"95{PERCENT} interval", "MAE (points)", "Relative L2 ×100")


def results_section(report: Report, attachments: Attachments) -> Section:
    """The models, the floors and the ceiling; folded, all that was measured of every row."""
    keep_results(report, attachments)
    classes = any(family.table("class_accuracy") for family in report.distinct)
    header = [*_HEADER, *(["Class accuracy"] if classes else [])]
    rows = [_result_row(report, family, classes) for family in report.distinct]
    foot = [*_floor_rows(report, classes), *_ceiling_rows(report, classes)]
    keep_printed(report, header, attachments)
    opening = (
        term("Spearman’s ρ"),
        term("95 % interval", header[2]),
        join([term("MAE"), " (points)"]),
        join([term("Relative L2"), " ×100"]),
        term("Class accuracy"),
    )
    names = ["Model", *opening[: len(header) - 1]]
    grey = [_unfinished_row(run, len(header) - 2) for run in report.unfinished]
    return Section(
        "Results",
        (
            _table(names, rows, foot, grey),
            *(element("p", *note, class_="note") for note in notes(report)),
            *further_metrics(report),
            every_row(report),
        ),
        opened=True,
    )


def _table(names: Sequence, rows: list[Markup], foot: list[Markup], grey: list[Markup]) -> Markup:
    first, *others = names
    head = element(
        "tr",
        element("th", first, scope="col"),
        *(element("th", name, scope="col", class_="number") for name in others),
    )
    bodies = [element("tbody", *rows)]
    bodies += [element("tbody", *grey, class_="unfinished")] if grey else []
    bodies += [element("tbody", *foot, class_="floor")] if foot else []
    whole = element("table", element("thead", head), *bodies, class_="results")
    return element("div", whole, class_="scroll", tabindex="0")


def further_metrics(report: Report) -> list[Markup]:
    """Other agreement metrics, and the averages over folds, each by its name."""
    folded = any(family.folded for family in report.distinct)
    header: list = ["Model", *(["ρ, plain average", "ρ, by Fisher z"] if folded else ["Spearman’s ρ"])]
    header += [term("Kendall’s τ"), term("Pearson’s r"), "Relative L2 ×100", "MAE (points)"]
    spreads = any(family.table("uncertainty") for family in report.distinct)
    if spreads:
        header += [
            join([term("CRPS"), " (points)"]),
            f"Within the 90{PERCENT} interval",
            "Its width (points)",
        ]
    rows = []
    for family in report.distinct:
        cells = [_spread(family, name) for name in METRICS]
        cells[1:1] = [decimals(family.fisher_z)] if folded else []
        said = family.table("uncertainty")
        crps, coverage, width = (said.get(name) for name in UNCERTAINTY)
        cells += [decimals(crps), percentage(coverage), decimals(width)] if spreads else []
        rows.append([row_name(family), *cells])
    parts = [table(header, rows, "metrics")]
    if folded:
        said = (
            "Over folds, plain is the arithmetic mean; by Fisher z is tanh of the mean artanh, which is never"
            " closer to 0. Never compare one with the other."
        )
        parts.insert(0, element("p", said, class_="note"))
    return [element("details", element("summary", "Further metrics"), *parts)]


def every_row(report: Report) -> Markup:
    """Folded: what each row is made of in the words of Table 1, and what it took."""
    families = report.families
    varied = varied_settings(families)
    settings = ["Backbone", "RNN cell", "Stacked cells", "Attention", "Feature encoding"]
    settings += [name.replace("_", " ").capitalize() for name in varied]
    header = ["Row", *settings, "Training loss", "Seconds", "Trained parameters", "Runs"]
    rows = []
    for family in families:
        loss, seconds = family.number("train_loss"), family.seconds
        rows.append(
            [
                row_name(family),
                *(_setting(family, name) for name in SETTINGS),
                *(setting(family, name) for name in varied),
                decimals(loss) if (loss or 0) < 10 else number(loss, f"{loss:,.1f}"),
                number(seconds, f"{seconds or 0:,.1f}" if (seconds or 0) < 100 else f"{seconds:,.0f}"),
                parameter_count(family.number("parameters")),
                _runs(family),
            ]
        )
    said = f"Training loss: of the last epoch. Seconds: {_whole_run(families)}. {_backbones(families)}"
    return element(
        "details",
        element("summary", "What every row is made of, and what it took"),
        element("p", said, class_="note"),
        table(header, rows, "metrics settings"),
    )


def _runs(family: Family) -> str:
    seeds = [str(seed) for seed in family.seeds if seed is not None]
    n, scored = len(family.tested_on), len(family.truth)
    parts = [f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"] if seeds else []
    parts += [f"{len(family.folds)} folds"] if family.folded else []
    parts.append(f"{n} tested" + ("" if scored in (0, n) else f", {scored} with a score"))
    return "; ".join(parts)


def _whole_run(families: Sequence[Family]) -> str:
    cached = "the whole run on cached features, without their extraction"
    trained = "the whole run end to end, without the decoding of the videos, which is done once"
    return "; ".join(
        text
        for text, kind in ((cached, False), (trained, True))
        if any(f.end_to_end == kind for f in families)
    )


def _backbones(families: Sequence[Family]) -> str:
    trained = [family for family in families if family.end_to_end]
    if not trained:
        return "The backbone was not trained."
    who = "".join(f" in {names}" for names in whose(trained, families))
    return f"The backbone was trained too{who}, but for frozen layers."


def _unfinished_row(run: Unfinished, others: int) -> Markup:
    far = "begun" if run.epoch is None else f"epoch {run.epoch} of at most {run.epochs}"
    seen = "" if run.validation is None else f"validation {signed(run.validation)}"
    cells = (element("td", seen, class_="number"), *(element("td") for _ in range(others)))
    return element("tr", element("th", run.name, small(f"not finished: {far}"), scope="row"), *cells)


def _result_row(report: Report, family: Family, classes: bool) -> Markup:
    n, scored = len(family.tested_on), len(family.truth)
    sizes = [] if len({len(f.tested_on) for f in report.families}) == 1 else [f"n {n}"]
    one_seed = len({str(f.seeds) for f in report.families if len(f.seeds) == 1}) < 2
    alone = len(family.seeds) == 1 and not one_seed
    seeds = [f"seed {seed}" for seed in family.seeds if seed is not None] if alone else []
    asides = [", ".join(sizes + seeds)]
    asides += [] if scored in (0, n) else [f"{scored} of {n} have a score"]
    rho, found = family.number("spearman"), report.intervals.of(family)
    spread = spread_asides(family.std(family.numbers("spearman")))
    cells = [
        join([decimals(rho, "undefined" if scored else "–"), *spread]),
        interval_text(found) if found else "–",
        _spread(family, "mae", 2),
        _spread(family, "relative_l2", 2),
        *([percentage(mean_accuracy(family))] if classes else []),
    ]
    return _row([row_name(family, *asides)], cells)


def _spread(family: Family, name: str, digits: int = 3) -> Markup:
    value, std = family.number(name), family.std(family.numbers(name))
    return join([number(value, signed(value or 0, digits)), *spread_asides(std, digits)])


def _floor_rows(report: Report, classes: bool) -> list[Markup]:
    rows = []
    for floor in report.floors:
        error, mae, known = floor.metrics.relative_l2, floor.metrics.mae, floor.metrics.n
        partly = known is not None and any(
            known != len(family.truth) for family in floor.owners if family.truth
        )
        asides = ["floor" + (f", n {known:.0f}" if partly else ""), *whose(floor.owners, report.families)]
        cells = [
            join([decimals(floor.rho, "–"), *_range_aside(floor)]),
            "",
            number(mae, signed(mae or 0, 2)),
            number(error, signed(error or 0, 2)),
            *([""] if classes else []),
        ]
        rows.append(_row([term("Floor", floor.title), *map(small, asides)], cells))
    return rows


def _range_aside(floor: Floor) -> list[Markup]:
    """Rows with other validation samples have other training samples, and so other floors."""
    if floor.rho is None or floor.lowest is None or floor.rho - floor.lowest < 0.0005:
        return []
    return [small(f"lowest {signed(floor.lowest)}")]


def _ceiling_rows(report: Report, classes: bool) -> list[Markup]:
    rows = []
    for ceiling, owners in report.ceilings:
        low, high = ceiling.lowest, ceiling.highest
        between = [] if low is None or high is None else [small(f"{signed(low)} to {signed(high)}")]
        asides = ["ceiling", *whose(owners, report.families)]
        cells = [join([decimals(ceiling.spearman), *between]), "", "", "", *([""] if classes else [])]
        rows.append(_row([term("Ceiling", "One judge"), *map(small, asides)], cells))
    return rows


def _row(named: Sequence, numbers: Sequence) -> Markup:
    cells = (element("td", cell, class_="number") for cell in numbers)
    return element("tr", element("th", *named, scope="row"), *cells)


def _setting(family: Family, name: str) -> Markup | str:
    """What the row used, and what its row of Table 1 says where that is something else."""
    of_paper = family.asked.table1.get(name)
    used = family.features.backbone if name == "backbone" else family.config.get(name)
    used = of_paper if used is None else used
    if of_paper is None or in_paper(of_paper) == in_paper(used):
        return in_paper(used)
    return join([in_paper(used), small(f"Table\N{NO-BREAK SPACE}1: {in_paper(of_paper)}")])
