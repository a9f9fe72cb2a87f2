"""The test samples one by one: the furthest off with pictures, and all in a table that sorts and filters."""

from base64 import b64encode
from collections.abc import Sequence

import numpy as np

from ..attachments import Attachments
from ..html import Markup, Section, element, join, number, table
from ..report import Report
from ..samples import Samples
from ..stills import Stills
from ..wording import colour_key, signed, small, with_sign

_WORST = 10


def samples_section(
    report: Report, samples: Samples, attachments: Attachments, stills: Stills | None
) -> Section | None:
    """Nothing where nothing was scored."""
    _keep(samples, attachments)
    if not len(samples) or not samples.worst:
        return None
    worst = samples.worst[:_WORST]
    asked = [samples.names[place] for place in worst]
    pictures = stills(asked, report.caches) if stills is not None else {}
    several = len(samples.rows) > 1
    head = ["Sample", *(["Group"] if any(samples.groups) else []), "True score"]
    header = head + [join([colour_key(row), row.short]) for row in samples.rows]
    header = head + (["Predicted"] if not several else header[len(head) :])
    header.append("Mean error" if several else "Error")
    shown = [_row(samples, place, several) for place in samples.on_page]
    last = samples.names[worst[0]]
    content = (
        *_worst(samples, worst, pictures),
        element("h3", "All samples" if len(shown) == len(samples) else f"The {len(shown)} furthest off"),
        element("p", _aside(samples, len(shown)), class_="note"),
        _table(header, shown),
    )
    return Section("Samples", content, f"furthest off: {last}, by {samples.error[worst[0]]:.1f} points")


def _aside(samples: Samples, shown: int) -> str:
    parts = []
    if len(samples.rows) > 1:
        parts.append("Predicted points by model; below, where it has one, the interval.")
        parts.append("Mean error: of the models in the table, without sign.")
    elif np.isfinite(samples.low).any():
        parts.append("Below a prediction stands its interval.")
    if len(samples.rows) < len(samples.of):
        parts.append(f"{len(samples.rows)} of {len(samples.of)} models; samples.csv has all.")
    if shown < len(samples):
        parts.append(f"{shown} of {len(samples):,} samples; samples.csv has all.")
    return " ".join(parts)


def _row(samples: Samples, place: int, several: bool) -> Markup:
    name, group, true = samples.names[place], samples.groups[place], samples.true[place]
    cells = [element("td", group)] if any(samples.groups) else []
    cells.append(element("td", number(float(true), signed(true, 1)), class_="number"))
    for row in range(len(samples.rows)):
        said, low, high = (each[row, place] for each in (samples.predicted, samples.low, samples.high))
        shown = [number(float(said), signed(said, 1))] if np.isfinite(said) else ["–"]
        shown += [small(f"{signed(low, 1)} to {signed(high, 1)}")] if np.isfinite(low) else []
        cells.append(element("td", *shown, class_="number"))
    error = samples.error[place]
    shown = signed(error, 1) if several else with_sign(samples.predicted[0, place] - true, 1)
    sorted_by = f"{error:.6g}" if np.isfinite(error) else ""
    cells.append(element("td", shown if np.isfinite(error) else "–", class_="number", data_sort=sorted_by))
    return element("tr", element("th", name, scope="row"), *cells, id=samples.link_of[name])


def _table(header: Sequence, rows: Sequence[Markup]) -> Markup:
    text = {"Sample", "Group"}
    head = (element("th", name, scope="col", class_=None if name in text else "number") for name in header)
    made = element(
        "table", element("thead", element("tr", *head)), element("tbody", *rows), class_="samples sortable"
    )
    return element("div", made, class_="scroll tall", tabindex="0")


def _worst(samples: Samples, worst: Sequence[int], pictures) -> list[Markup]:
    """The samples that are furthest off, with pictures where there are any."""
    rows = []
    for place in worst:
        name = samples.names[place]
        known = samples.predicted[:, place][np.isfinite(samples.predicted[:, place])]
        said = signed(known.min(), 1)
        said += f" to {signed(known.max(), 1)}" if np.ptp(known) >= 0.05 else ""
        link = element("a", name, href=f"#{samples.link_of[name]}")
        cells = [link, signed(samples.true[place], 1), said, signed(samples.error[place], 1)]
        if pictures:
            cells.append(join(_picture(each, name) for each in pictures.get(name, ())))
        rows.append(cells)
    names = ["Sample", "True score", "Predicted", "Mean error", *(["Moments"] if pictures else [])]
    return [
        element("h3", f"The {len(rows)} furthest off" if len(rows) > 1 else "Furthest off"),
        table(names, rows, "worst"),
    ]


def _picture(content: bytes, name: str) -> Markup:
    source = "data:image/jpeg;base64," + b64encode(content).decode()
    return element("img", src=source, alt=f"a moment of {name}", class_="still")


def _keep(samples: Samples, attachments: Attachments) -> None:
    """All samples under all rows, every number exact."""
    where = {name: place for place, name in enumerate(samples.names)}
    shown = {row.order: number for number, row in enumerate(samples.rows)}

    def lines():
        for row in samples.of:
            said: dict[str, list[float]] = {}
            for result in row.results:
                for name, (_, predicted) in result.scored.items():
                    said.setdefault(name, []).append(predicted)
            for name, values in said.items():
                place = where[name]
                mean, ends = float(np.mean(values)), (None, None)
                if row.order in shown and np.isfinite(samples.low[shown[row.order], place]):
                    ends = tuple(float(each[shown[row.order], place]) for each in (samples.low, samples.high))
                true = float(samples.true[place])
                yield [row.short, name, samples.groups[place], true, mean, *ends, mean - true]

    header = ["row", "sample_id", "group", "true_score", "predicted_score", "low", "high", "error"]
    attachments.table("samples", header, lines(), "every test sample under every row, means over its runs")
