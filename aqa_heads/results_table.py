"""The paper's Table 1 with results: what stands above it, its rows, and what has to be known to read them."""

from collections.abc import Sequence

from .bootstrap import RESAMPLES
from .experiments import EXPERIMENTS
from .metrics import spearman
from .page import Markup, element, join, number
from .results import Result, finite
from .wording import (
    FLOORS,
    PERCENT,
    SETTINGS,
    colour_key,
    counted,
    decimals,
    difference,
    distinct_floors,
    floor_name,
    grouped,
    in_paper,
    in_words,
    interval_text,
    listed,
    mean_known,
    names_of,
    parameter_count,
    percentage,
    rho_text,
    signed,
    small,
    whose,
    with_rho,
)

PROTOCOLS = {
    "paper": "test evaluated every epoch, last epoch reported, nothing chosen on the test set; best-on-test is shown "
    "only as a curve",
}
# Larger than what rounding in predictions.csv can do to a rank correlation.
_DISAGREE = 0.005


def findings(results: Sequence[Result]) -> str:
    """What the correlations amount to, beside the highest floor."""
    ranked = with_rho(results)
    if not ranked:
        return "No run has a correlation: its test samples have no scores, or every sample was given the same score."
    top = max(result.number("spearman") for result in ranked)
    best = [result for result in ranked if result.number("spearman") == top]
    first = f"The highest correlation is that of {names_of(best)}: " if len(ranked) > 1 else f"{best[0].short} reaches "
    sentences = [f"{first}ρ = {rho_text(best[0])}. "]
    floors = [(finite(floor.get("spearman")), name) for name, floor, _ in distinct_floors(results)]
    floors = [(rho, name) for rho, name in floors if rho is not None]
    if floors and len({result.tested_on for result in results}) == 1:
        rho, name = max(floors)
        above = [result for result in ranked if result.number("spearman") > rho]
        clear = sum(result.interval is not None and result.interval[0] > rho for result in above) or "none"
        lie = f"{len(above) or 'none'} of {counted(len(ranked), 'run')} {'lies' if len(above) == 1 else 'lie'} above it"
        sentences.append(
            f"The highest floor, {floor_name(name).lower()}, reaches {signed(rho)} without seeing the video; "
            + (f"{lie}, {clear} with the whole interval. " if above else f"{lie}. ")
        )
    sentences.append(
        "The intervals cover which samples happened to be in the test set; they do not cover the luck of the seed, "
        "which only several runs of one row can show."
    )
    return "".join(sentences)


def results_table(results: Sequence[Result]) -> Markup:
    """One row per run, in its order, and one per floor."""
    alike = len({(len(result.test), result.config.get("seed")) for result in results}) == 1
    rows = [_result_row(result, alike) for result in results]
    floors = _floor_rows(results)
    settings = ("Backbone", "RNN cell", "Stacked cells", "Attention", "Feature encoding")
    numbers = (
        ("Spearman’s\N{NO-BREAK SPACE}ρ", f"95{PERCENT} interval"),
        ("Relative L2", "×100"),
        ("Class accuracy", "mean"),
        ("Training loss", ""),
        ("Time", "seconds"),
        ("Parameters", "trained"),
    )
    head = element(
        "tr",
        element("th", "Run", scope="col"),
        *(element("th", name, scope="col", class_="setting") for name in settings),
        *(element("th", name, small(unit) if unit else "", scope="col", class_="number") for name, unit in numbers),
    )
    foot = [element("tbody", *floors, class_="floor")] if floors else []
    whole = element("table", element("thead", head), element("tbody", *rows), *foot, class_="results")
    return element("div", whole, class_="scroll", tabindex="0")


def _result_row(result: Result, alike: bool) -> Markup:
    n, scored, seed = len(result.test), len(result.scores[0]), result.config.get("seed")
    asides = [] if result.label == result.short else [difference(result)]
    asides += [] if alike else [f"n {n}" + ("" if seed is None else f", seed {seed}")]
    asides += [] if scored in (0, n) else [f"{scored} of {n} have a score"]
    named = [
        colour_key(result),
        result.short,
        *map(small, asides),
        element("span", in_words(result), class_="aside narrow"),
    ]
    rho, loss, seconds = (result.number(name) for name in ("spearman", "train_loss", "seconds"))
    interval = [] if result.interval is None else [small(interval_text(result.interval))]
    numbers = [
        join([decimals(rho, "undefined" if scored else "–"), *interval]),
        decimals(result.number("relative_l2")),
        percentage(mean_known(result.numbers("class_accuracy").values())),
        decimals(loss) if (loss or 0) < 10 else number(loss, f"{loss:,.1f}"),
        number(seconds, f"{seconds or 0:,.1f}" if (seconds or 0) < 100 else f"{seconds:,.0f}"),
        parameter_count(result.number("parameters")),
    ]
    return _row(named, [_setting(result, name) for name in SETTINGS], numbers)


def _floor_rows(results: Sequence[Result]) -> list[Markup]:
    rows = []
    for name, floor, owners in distinct_floors(results):
        rho, error = finite(floor.get("spearman")), finite(floor.get("relative_l2"))
        known = finite(floor.get("n"))
        partly = known is not None and any(known != len(result.scores[0]) for result in owners if len(result.scores[0]))
        asides = ["floor" + (f", n {known:.0f}" if partly else ""), *whose(owners, results)]
        numbers = [decimals(rho, "undefined"), decimals(error), "", "", "", ""]
        rows.append(_row([floor_name(name), *map(small, asides)], [""] * len(SETTINGS), numbers))
    return rows


def _row(named: Sequence, settings: Sequence, numbers: Sequence) -> Markup:
    return element(
        "tr",
        element("th", *named, scope="row"),
        *(element("td", cell, class_="setting") for cell in settings),
        *(element("td", cell, class_="number") for cell in numbers),
    )


def warnings(results: Sequence[Result]) -> list[str]:
    """What makes rows hard to compare, or not to be trusted."""
    warnings = []
    features = grouped(results, lambda result: str(result.features.get("fingerprint")))
    if len(features) > 1:
        who = "; ".join(
            f"{names_of(owners)} on {fingerprint[:12]} ({in_paper(owners[0].features.get('backbone'))})"
            for fingerprint, owners in features.items()
        )
        warnings.append(f"Not all rows are directly comparable: the runs read different features. {who}.")
    tests = grouped(results, lambda result: result.tested_on)
    if len(tests) > 1:
        who = "; ".join(f"{names_of(owners)} on {counted(len(ids), 'sample')}" for ids, owners in tests.items())
        warnings.append(f"Not all rows are comparable: the runs were tested on different samples. {who}.")
    equal = grouped((r for r in results if len(r.scores[0])), lambda r: (r.tested_on, tuple(r.scores[1].round(6))))
    for owners in equal.values():
        if len(owners) > 1:
            warnings.append(
                f"{names_of(owners)} predict the same scores. On cached features the captioner trains nothing that scores "
                "and classes use, so rows that differ only in the captioner (RNN cell, stacked cells, attention) differ "
                "only in captions, loss and cost; in the paper they share a backbone that is trained with them."
            )
    for result in results:
        said, found = result.number("spearman"), finite(spearman(*result.scores))
        if (said is None) != (found is None) or (said is not None and abs(said - found) > _DISAGREE):
            said, found = ("an undefined ρ" if rho is None else f"ρ = {signed(rho)}" for rho in (said, found))
            warnings.append(
                f"{result.short}: summary.json says {said} but predictions.csv gives {found}; "
                "the two files are not of one run."
            )
    return warnings


def notes(results: Sequence[Result]) -> list[list]:
    """What the columns mean; each note is a list of the parts of one paragraph."""
    notes = []
    for protocol, owners in grouped(results, lambda r: str(r.config.get("protocol") or "not recorded")).items():
        meaning = f": {PROTOCOLS[protocol]}" if protocol in PROTOCOLS else ""
        notes.append(
            [element("b", "Protocol"), *(f" of {who}" for who in whose(owners, results)), f": {protocol}{meaning}."]
        )
    starred = [result for result in results if result.short.endswith("*")]
    if starred:
        notes.append([element("b", "*"), " Not quite this row of Table 1: what differs is said beside it."])
    if intervals := [result for result in results if result.interval]:
        said = [f": percentiles of {RESAMPLES:,} resamples of the test samples, seed 0."]
        grouped_samples = [result for result in intervals if 0 < len(result.groups) < len(result.scores[0])]
        for groups, owners in grouped(grouped_samples, lambda result: len(result.groups)).items():
            who = "".join(f" of {names}" for names in whose(owners, intervals))
            said.append(
                f" The samples{who} are taken as independent; they come from {counted(groups, 'group')}, so the true "
                "uncertainty is larger."
            )
        notes.append([element("b", "Interval"), *said])
    notes.append(
        [element("b", "Relative L2"), ": 100 times the mean squared error over the squared range of the test scores. ",
         element("b", "Training loss"), ": of the last epoch. ",
         element("b", "Time"), ": the whole run on cached features, without their extraction. ",
         element("b", "Parameters"), ": of what was trained; the backbone was not."]
    )  # fmt: skip
    present = [name for name in FLOORS if any(floor == name for floor, *_ in distinct_floors(results))]
    if present:
        said = "; ".join(f"{FLOORS[name][0].lower()} {FLOORS[name][1]}" for name in present)
        notes.append(
            [element("b", "Floors"), f" are predictions without the video: {said}. A run that does not rise above them "
             "has not shown that it learned from the video."]
        )  # fmt: skip
    absent = [row.title for name, row in EXPERIMENTS.items() if name not in {result.experiment for result in results}]
    if 0 < len(absent) < len(EXPERIMENTS):
        notes.append([f"Rows of the paper’s Table 1 without a run here: {listed(absent)}."])
    return notes


def _setting(result: Result, name: str) -> Markup | str:
    """What the run used, and what its row of Table 1 says where that is something else."""
    of_paper = (result.config.get("table1") or {}).get(name)
    used = result.features.get("backbone") if name == "backbone" else result.config.get(name)
    used = of_paper if used is None else used
    if of_paper is None or in_paper(of_paper) == in_paper(used):
        return in_paper(used)
    return join([in_paper(used), small(f"Table\N{NO-BREAK SPACE}1: {in_paper(of_paper)}")])
