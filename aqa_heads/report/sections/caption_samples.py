"""Captions of a few test samples beside their references."""

from collections.abc import Sequence

import numpy as np

from ..families import Family
from ..html import Markup, element, join, table
from ..results import Result
from ..wording import small

_SAMPLES, _ROWS, _WORDS = 4, 3, 40


def beside_references(captioned: Sequence[Family]) -> list[Markup]:
    """Of the first row and of those with the lowest loss, samples from the lowest to the highest score."""
    by_loss = sorted(captioned[1:], key=lambda family: (_last_loss(family.first), family.order))
    chosen = sorted([captioned[0], *by_loss[: _ROWS - 1]], key=lambda family: family.order)
    reference = chosen[0].first.test
    common = [
        place
        for place, name in enumerate(reference.sample_ids)
        if (reference.captions or ())[place : place + 1] not in ((), ("",))
        and all(name in family.first.test.place for family in chosen)
    ]
    scored = [place for place in common if np.isfinite(reference.true[place])]
    common = sorted(
        scored or common,
        key=lambda place: (np.nan_to_num(reference.true[place]), reference.sample_ids[place]),
    )
    spread = sorted(set(np.linspace(0, len(common) - 1, _SAMPLES).round().astype(int))) if common else []
    rows = [_caption_row(chosen, common[number]) for number in spread]
    if not rows:
        return [element("p", "No test sample has a reference caption and a predicted one.", class_="note")]
    choice = (
        "Shown are samples spread evenly"
        f" {'from the lowest to the highest true score' if scored else 'by their names'}, in the first row"
        f" and in those with the lowest last caption loss per token. Captions are cut after {_WORDS} words."
    )
    if any(len(family.results) > 1 for family in chosen):
        choice += " Of rows with several runs, the first is shown."
    header = ["Sample", "Reference", *(family.short for family in chosen)]
    return [element("p", choice, class_="note"), table(header, rows, "captions")]


def _caption_row(chosen: Sequence[Family], place: int) -> list:
    """A test sample of the first row, with what each row says of it."""
    reference = chosen[0].first.test
    name = reference.sample_ids[place]
    row = [
        join([name, *score_aside("score", reference.true[place])]),
        _shortened(reference.captions[place]),
    ]
    for tested in (family.first.test for family in chosen):
        mine = tested.place[name]
        said = _shortened(tested.predicted_captions[mine]) or "(empty)"
        row.append(join([said, *score_aside("predicted score", tested.predicted[mine])]))
    return row


def _last_loss(result: Result) -> float:
    values = result.by_epoch("train_caption_loss_per_token")
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else np.inf


def score_aside(name: str, score: float) -> list[Markup]:
    return [small(f"{name} {score:.1f}")] if np.isfinite(score) else []


def _shortened(text: str) -> str:
    words = text.split()
    return text if len(words) <= _WORDS else " ".join(words[:_WORDS]) + f" … ({len(words)} words)"
