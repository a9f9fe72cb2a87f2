"""How a report words what runs are, whose something is, and numbers."""

from collections.abc import Callable, Hashable, Iterable, Sequence

from . import figures
from .experiments import EXPERIMENTS
from .page import Markup, element, number
from .results import Result, finite

FLOORS = {
    "training_mean": (
        "Training mean",
        "predicts the mean training score for every sample, which ranks nothing and so has no Spearman’s ρ",
    ),
    "difficulty": ("Difficulty alone", "predicts from the difficulty that is known before the action begins"),
    "group_mean": (
        "Group mean",
        "predicts the mean training score of the sample’s group (the competition, the session), which is possible "
        "only where training and test share groups",
    ),
}
SETTINGS = ("backbone", "rnn", "layers", "attention", "encoder")
PERCENT = "\N{NO-BREAK SPACE}%"


def grouped(results: Iterable[Result], key: Callable[[Result], Hashable]) -> dict:
    """The runs by what they have in common, in the order of each group's first."""
    groups: dict = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups


def whose(owners: Sequence[Result], results: Sequence[Result]) -> list[str]:
    """The names of those that something belongs to; empty where it is everyone's."""
    return [] if len(owners) == len(results) else [names_of(owners)]


def with_rho(results: Iterable[Result]) -> list[Result]:
    return [result for result in results if result.number("spearman") is not None]


def distinct_floors(results: Sequence[Result]) -> list[tuple[str, dict, list[Result]]]:
    """Name and metrics of every distinct floor, and the runs it belongs to."""
    found: dict[tuple, tuple[str, dict, list[Result]]] = {}
    for result in results:
        for name, floor in result.floors.items():
            key = name, finite(floor.get("spearman")), finite(floor.get("relative_l2"))
            found.setdefault(key, (name, floor, []))[2].append(result)
    order = [*FLOORS, *sorted({name for name, *_ in found} - FLOORS.keys())]
    return sorted(found.values(), key=lambda entry: order.index(entry[0]))


def floor_lines(results: Sequence[Result]) -> list[tuple[str, float]]:
    """Name and correlation of the floors that have one, for figures."""
    rhos = [(floor_name(name), finite(floor.get("spearman"))) for name, floor, _ in distinct_floors(results)]
    return [(f"{name.removesuffix(' alone')} {signed(rho, 2)}", rho) for name, rho in rhos if rho is not None]


def floor_name(name: str) -> str:
    return FLOORS[name][0] if name in FLOORS else name.replace("_", " ").capitalize()


def floors_legend(results: Sequence[Result]) -> str:
    return " Dashed: floors, predictions without the video." if floor_lines(results) else ""


def in_words(result: Result) -> str:
    """What the run used, in a line."""
    row = result.config.get("table1") or {}
    used = {name: result.config.get(name, row.get(name)) for name in SETTINGS}
    used["backbone"] = result.features.get("backbone") or row.get("backbone")
    backbone, rnn, layers, attention, encoder = (in_paper(used[name]) for name in SETTINGS)
    attention = {"No": "no attention", "Yes": "attention"}.get(attention, attention)
    encoder = "averaging" if encoder == "Averaging" else f"{encoder} encoding"
    return f"{backbone}, {rnn} × {layers}, {attention}, {encoder}".replace(
        " × ", "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"
    )


def in_paper(value) -> str:
    """A setting's value as Table 1 words it."""
    words = {"none": "No", "linear": "Yes", "average": "Averaging"}
    text = plain(value)
    return words.get(text, text.upper() if text in ("c3d", "s3d", "gru", "lstm") else text)


def difference(result: Result) -> str:
    """The part of a run's label that its short name does not say."""
    row = EXPERIMENTS.get(result.experiment)
    if row is None or not result.short.startswith(row.title):
        return result.label
    return result.label.removeprefix(row.title).strip().removeprefix("(").removesuffix(")")


def plain(value) -> str:
    """A value of a config for people."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items()) or "–"
    return ", ".join(map(str, value)) or "–" if isinstance(value, list) else str(value)


def colour_key(result: Result) -> Markup:
    """A dot in the colour that the run has in figures."""
    colour = f"background:var(--series-{result.order % figures.SERIES})"
    return element("span", class_="key", style=colour, aria_hidden="true")


def small(text: str) -> Markup:
    """A line of its own below what stands before it."""
    return element("span", text, class_="aside")


def rho_text(result: Result) -> str:
    interval = "" if result.interval is None else f" (95{PERCENT} interval {interval_text(result.interval)})"
    return signed(result.number("spearman")) + interval


def interval_text(interval: tuple[float, float]) -> str:
    return f"{signed(interval[0])} to {signed(interval[1])}"


def signed(value: float, digits: int = 3) -> str:
    """With a minus sign, not a hyphen."""
    return f"{value:.{digits}f}".replace("-", "−")


def decimals(value: float | None, undefined: str = "–") -> Markup | str:
    return number(value, signed(value or 0), undefined)


def percentage(share: float | None) -> Markup | str:
    return number(share, f"{100 * (share or 0):.1f}{PERCENT}")


def parameter_count(count: float | None) -> Markup | str:
    return number(count, f"{(count or 0) / 1e6:.1f} M" if (count or 0) >= 1e6 else f"{count or 0:,.0f}")


def mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def names_of(results: Iterable[Result]) -> str:
    return listed(result.short for result in results)


def listed(names: Iterable) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    names = [str(name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
