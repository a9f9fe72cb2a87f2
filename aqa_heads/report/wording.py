"""How a report words what runs are, whose something is, and numbers."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

from ..data.leaks import OF_BACKBONE
from ..runs.format import LEAKED
from .families import Family
from .html import SERIES, Markup, element, join, number
from .names import END_TO_END, parts_of
from .results import Result

SETTINGS = ("backbone", "rnn", "layers", "attention", "encoder")
PERCENT = "\N{NO-BREAK SPACE}%"


def grouped(owners: Iterable, key: Callable[..., Hashable]) -> dict:
    """Runs or rows by what they have in common, in the order of each group's first."""
    groups: dict = {}
    for owner in owners:
        groups.setdefault(key(owner), []).append(owner)
    return groups


def whose(owners: Sequence, everyone: Sequence) -> list[str]:
    """The names of those that something belongs to; empty where it is everyone's."""
    return [] if len(owners) == len(everyone) else [names_of(owners)]


def whose_runs(owners: Sequence[Result], everyone: Sequence[Result]) -> list[str]:
    """As `whose`; a row all of whose runs are among them is named alone.

    Where the same runs of several rows are meant, they are named once: seed 0 of Baseline and Exp 1.
    """
    if len(owners) == len(everyone):
        return []
    size = Counter(result.order for result in everyone)
    mine = grouped(owners, lambda result: result.order)
    whole = [results[0].row for order, results in mine.items() if len(results) == size[order]]
    parts = {}
    for order, results in mine.items():
        if len(results) < size[order]:
            parts.setdefault("; ".join(result.which for result in results), []).append(results[0].row)
    return [listed([*whole, *(f"{which} of {listed(rows)}" for which, rows in parts.items())])]


def in_words(family: Family) -> str:
    """What the row used, in a line."""
    row = family.asked.table1
    used = {name: family.config.get(name, row.get(name)) for name in SETTINGS}
    backbone = backbone_of(family, row.get("backbone"))
    encoder = in_paper(used["encoder"])
    parts = [backbone]
    if used["rnn"] is not None:
        attention = {"none": "no attention", "linear": "attention"}.get(
            used["attention"], f"{used['attention']} attention"
        )
        parts += [
            f"{in_paper(used['rnn'])}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{in_paper(used['layers'])}",
            attention,
        ]
    return ", ".join([*parts, "averaging" if encoder == "Averaging" else f"{encoder} encoding"])


def setting(family: Family, name: str) -> str:
    """A setting's value; empty where the model has no use of it."""
    value = family.config.get(name)
    return "" if value is None or family.number("train_loss") is None else f"{value}"


def backbone_of(family: Family, otherwise: str | None = None) -> str:
    """The network whose features the row used, and the run that fine-tuned it before, if one did."""
    name = in_paper(family.features.backbone or otherwise)
    return name if family.tuned_in is None else f"{name} tuned in {family.tuned_in}"


def started_from(family: Family) -> str:
    """The weights that a backbone had before it was trained in the run."""
    return plain((family.fine_tuning and family.fine_tuning.started_from) or family.features.weights)


def leaked_from_backbone(family: Family) -> set[bool]:
    """Which kinds of leaks into the test samples it has: True for samples that the backbone learned from
    before, False for training samples.
    """
    return {why in OF_BACKBONE for result in family.results for why in result.leaks_into_test}


def began_random(family: Family) -> bool:
    """Whether all that the backbone knows was learned in fine-tuning, in the row's own or in one before
    it.
    """
    if family.end_to_end:
        return plain(family.fine_tuning.origin or started_from(family)).startswith("random")
    return family.tuned_in is not None and bool(family.features.weights_random)


def in_paper(value) -> str:
    """A setting's value as Table 1 words it."""
    words = {
        "none": "No",
        "linear": "Yes",
        "additive": "Additive",
        "dot": "Dot product",
        "average": "Averaging",
        "attention": "Attention",
        "transformer": "Transformer",
    }
    text = plain(value)
    return words.get(text, text.upper() if text in ("c3d", "s3d", "gru", "lstm") else text)


def difference(family: Family) -> str:
    """What a row's label says and its name does not."""
    title, parts = parts_of(family.label)
    rest = [part for part in parts if not (family.end_to_end and part == END_TO_END)]
    if not (family.short == title or family.short.startswith(f"{title}, ") or family.end_to_end):
        rest = [title, *rest] if family.short != family.label else []
    leaked = family.label.endswith(LEAKED)
    return ", ".join([*rest, *(["LEAKED TEST"] if leaked else [])])


def row_name(family: Family, *asides: str) -> Markup:
    """How a row begins in every table: its colour, its name, what its label says beside that (where it stands
    for several, what all of them say), and what else is to be said.
    """
    differs = {difference(row) for row in family.alike or (family,)}
    said = differs.pop() if len(differs) == 1 else ""
    what = [text for text in (said, runs_text(family), *asides) if text]
    return join([colour_key(family), family.short, *map(small, what)])


def runs_text(family: Family) -> str:
    """How many seeds and folds a row is of; empty for a single run without folds."""
    seeds = [counted(len(family.seeds), "seed")] if len(family.seeds) > 1 else []
    folds = (
        [counted(len(family.folds), "fold")] if family.folded else [f"fold {fold}" for fold in family.folds]
    )
    return ", ".join(seeds + folds)


def plain(value) -> str:
    """A value of a config for people."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items()) or "–"
    return ", ".join(map(str, value)) or "–" if isinstance(value, list | tuple) else str(value)


def colour_key(of: Family | Result) -> Markup:
    """A dot in the colour that the row has in figures."""
    colour = f"background:var(--series-{of.colour % SERIES})"
    return element("span", class_="key", style=colour, aria_hidden="true")


def small(text: str) -> Markup:
    """A line of its own below what stands before it."""
    return element("span", text, class_="aside")


def rho_text(family: Family, interval: tuple[float, float] | None) -> str:
    """Mean correlation, spread and interval of a row."""
    spread = family.std(family.numbers("spearman"))
    return (
        signed(family.number("spearman"))
        + (
            ""
            if spread is None
            else f" ± {signed(spread)} over {counted(_spread_count(family), family.spread_over[:-1])}"
        )
        + ("" if interval is None else f" (95{PERCENT} interval {interval_text(interval)})")
    )


def _spread_count(family: Family) -> int:
    return len(family.seeds) if family.spread_over == "seeds" else len(family.folds)


def spread_asides(std: float | None, digits: int = 3) -> list[Markup]:
    return [] if std is None else [small(f"±\N{NO-BREAK SPACE}{signed(std, digits)}")]


def interval_text(interval: tuple[float, float]) -> str:
    return f"{signed(interval[0])} to {signed(interval[1])}"


def signed(value: float, digits: int = 3) -> str:
    """With a minus sign, not a hyphen, and without one where it rounds to 0."""
    return f"{value:z.{digits}f}".replace("-", "−")


def with_sign(value: float, digits: int = 3) -> str:
    """As `signed`, with a plus sign where it is above 0."""
    return ("+" if value > 0 else "") + signed(value, digits)


def decimals(value: float | None, undefined: str = "–") -> Markup | str:
    return number(value, signed(value or 0), undefined)


def percentage(share: float | None) -> Markup | str:
    return number(share, percentage_text(share or 0))


def percentage_text(share: float) -> str:
    return f"{100 * share:.1f}{PERCENT}"


def parameter_count(count: float | None) -> Markup | str:
    return number(count, f"{(count or 0) / 1e6:.1f} M" if (count or 0) >= 1e6 else f"{count or 0:,.0f}")


def mean_accuracy(family: Family) -> float | None:
    """Mean class accuracy over the columns that have more than one value among the test samples."""
    majority = family.table("majority_accuracy")
    shares = family.table("class_accuracy").items()
    return mean_known(share for name, share in shares if majority.get(name) != 1)


def mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def names_of(owners: Iterable[Family | Result]) -> str:
    return listed(owner.short for owner in owners)


def listed(names: Iterable) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    names = [str(name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
