"""How often the classes of an action were named correctly, and what was taken for what."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..attachments import Attachments
from ..families import Family
from ..figures import draw_matrix
from ..html import Markup, Section, element, join, table
from ..report import Report
from ..results import natural
from ..wording import (
    grouped,
    mean_accuracy,
    mean_known,
    percentage,
    percentage_text,
    row_name,
    runs_text,
    small,
    spread_asides,
    whose,
)

_MOST_CLASSES = 20


def classes_section(report: Report, attachments: Attachments) -> Section | None:
    """Accuracies beside the majority class, and a confusion matrix per column; nothing where no class was
    predicted.
    """
    columns = list(
        dict.fromkeys(name for family in report.families for name in family.table("class_accuracy"))
    )
    classified = [family for family in report.distinct if family.table("class_accuracy")]
    _keep(classified, columns, attachments)
    if not columns:
        return None
    rows = [_accuracy_row(family, columns) for family in classified]
    floors = grouped(
        classified, lambda family: tuple(family.table("majority_accuracy").get(name) for name in columns)
    )
    foot = [
        [
            join(["Majority class", *map(small, whose(owners, classified))]),
            *map(percentage, shares),
            percentage(mean_known(share for share in shares if share != 1)),
        ]
        for shares, owners in floors.items()
    ]
    aside = "Majority class: always the most frequent training class. Grey italics do not rise above it."
    names = [_plain(name) for name in columns]
    content = (
        element("p", aside, class_="note"),
        table(["Model", *names, "Mean"], rows, "classes", foot),
        *_confusions(classified, columns, attachments),
    )
    return Section("Classes", content, _in_short(classified))


def _in_short(classified: Sequence[Family]) -> str:
    known = [mean for family in classified if (mean := mean_accuracy(family)) is not None]
    if not known:
        return ""
    low, high = (percentage_text(share) for share in (min(known), max(known)))
    return f"{low} correct" if low == high else f"{low} to {high} correct"


def _accuracy_row(family: Family, columns: Sequence[str]) -> list:
    accuracy, majority = family.table("class_accuracy"), family.table("majority_accuracy")
    cells = []
    for name in columns:
        value, floor = accuracy.get(name), majority.get(name)
        below = value is not None and floor is not None and value <= floor
        shown = element("span", percentage(value), class_="below") if below else percentage(value)
        cells.append(join([shown, *_spread(family, name)]))
    return [row_name(family), *cells, percentage(mean_accuracy(family))]


def _spread(family: Family, name: str) -> list[Markup]:
    std = family.std([result.numbers("class_accuracy").get(name) for result in family.results])
    return spread_asides(None if std is None else 100 * std, 1)


def _confusions(
    classified: Sequence[Family], columns: Sequence[str], attachments: Attachments
) -> list[Markup]:
    """Confusion matrices of the baseline, else of the first row: taking the best row would be choosing on the
    test set.
    """
    chosen = next((family for family in classified if family.experiment == "baseline"), classified[0])
    many = []
    for name in columns:
        counts = _confused(chosen, name)
        classes = sorted({label for pair in counts for label in pair}, key=natural)
        if not counts or len(classes) > _MOST_CLASSES:
            continue
        matrix = np.array([[counts[true, said] for said in classes] for true in classes], float)
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        texts = [[f"{count:.0f}" if count else "" for count in row] for row in matrix]
        title = f"{_plain(name)}, {chosen.short}"
        described = f"Confusion of {title}: " + "; ".join(
            f"{true} named {said} {counts[true, said]} times"
            for true in classes
            for said in classes
            if counts[true, said]
        )
        drawing = draw_matrix(shares, classes, classes, ("true", "predicted"), title, described, texts)
        caption = element("b", _plain(name))
        many.append(attachments.figure(f"confusion_{name}", drawing, caption, caption_first=True))
    if not many:
        return []
    runs = runs_text(chosen)
    aside = (
        f"What {chosen.short}{f' ({runs})' if runs else ''} took for what: rows are true classes, columns"
        f" predicted ones; numbers count test samples{' of all runs' if len(chosen.results) > 1 else ''}, the"
        " darker the larger the share of the row. The confusion_….csv files have every row of the results."
    )
    return [
        element("h3", "Confusion"),
        element("p", aside, class_="note"),
        element("div", *many, class_="matrices"),
    ]


def _confused(family: Family, column: str) -> Counter:
    """How often, over all runs, a test sample of a true class was given a predicted one, by (true,
    predicted).
    """
    counts: Counter = Counter()
    for tested in (result.test for result in family.results):
        pairs = zip(tested.classes.get(column, ()), tested.predicted_classes.get(column, ()), strict=False)
        counts.update(pair for pair in pairs if all(pair))
    return counts


def _keep(classified: Sequence[Family], columns: Sequence[str], attachments: Attachments) -> None:
    rows = (
        [
            family.short,
            name,
            family.table("class_accuracy").get(name),
            family.table("majority_accuracy").get(name),
        ]
        for family in classified
        for name in columns
    )
    attachments.table(
        "classes",
        ["row", "column", "accuracy", "majority_accuracy"],
        rows,
        "class accuracies, shares from 0 to 1",
    )
    for name in columns:
        rows = (
            [family.short, *pair, count]
            for family in classified
            for pair, count in sorted(
                _confused(family, name).items(), key=lambda entry: [*map(natural, entry[0])]
            )
        )
        attachments.table(
            f"confusion_{name}", ["row", "true", "predicted", "count"], rows, f"confusion of {_plain(name)}"
        )


def _plain(column: str) -> str:
    return column.removeprefix("class_").replace("_", " ")
