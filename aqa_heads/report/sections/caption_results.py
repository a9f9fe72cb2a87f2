"""What the captioners said: metrics and losses, beside `caption_samples` and `caption_attention`."""

from collections.abc import Iterator, Sequence

import numpy as np

from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..figures import Curve
from ..html import Markup, Section, element, join, table, term
from ..report import Report
from ..results import Result
from ..wording import counted, decimals, listed, names_of, row_name, spread_asides
from .caption_attention import attention
from .caption_samples import beside_references

_METRICS = {
    "bleu_1": "BLEU‑1",
    "bleu_2": "BLEU‑2",
    "bleu_3": "BLEU‑3",
    "bleu_4": "BLEU‑4",
    "rouge_l": "ROUGE‑L",
    "cider": "CIDEr",
    "meteor": "METEOR",
}
_TERMS = dict.fromkeys(_METRICS, "BLEU") | {"rouge_l": "ROUGE-L", "cider": "CIDEr", "meteor": "METEOR"}


def captions_section(report: Report, attachments: Attachments) -> Section | None:
    """Nothing where nobody spoke."""
    captioned = [family for family in report.families if _has_captions(family.first)]
    _keep(captioned, attachments)
    if not captioned:
        return None
    variety = "; ".join(map(_variety, captioned))
    aside = (
        f"Different captions among those predicted for the test samples: {variety}. A captioner that says the"
        " same of many samples has not learned to look."
    )
    content = (
        *_metrics(captioned),
        *_losses(captioned, attachments),
        element("p", aside, class_="note"),
        *beside_references(captioned),
        *attention(captioned, attachments),
    )
    learned = sum(not _failed(family) for family in captioned)
    said = f"{learned} of {counted(len(captioned), 'captioner')} learned more than word frequencies"
    return Section("Captions", content, said)


def _has_captions(result: Result) -> bool:
    said = result.test.predicted_captions
    return said is not None and ("caption" in result.asked.tasks or any(said))


def _metrics(captioned: Sequence[Family]) -> list[Markup]:
    rows = []
    known = [name for name in _METRICS if any(None not in _values(family, name) for family in captioned)]
    for family in captioned:
        cells = [_metric(family, name) for name in known]
        loss, unigram = family.number("caption_loss_per_token"), family.number("unigram_loss")
        std = family.std(family.numbers("caption_loss_per_token"))
        shown = element("span", decimals(loss), class_="below") if _failed(family) else decimals(loss)
        rows.append([row_name(family), *cells, join([shown, *spread_asides(std)]), decimals(unigram)])
    loss_of = [join([term("Loss per word"), " (nats)"]), term("Word frequencies alone")]
    header = ["Row", *(term(_TERMS[name], _METRICS[name]) for name in known), *loss_of]
    notes = dict.fromkeys(note for family in captioned for note in family.first.caption_notes)
    absent = [_METRICS[name] for name in _METRICS if name not in known]
    if absent and not any(name.casefold() in note.casefold() for name in absent for note in notes):
        off = absent == ["METEOR"] and all(family.config.get("meteor") is False for family in captioned)
        notes[f"{listed(absent)} {'was switched off' if off else 'not computed'}."] = None
    return [
        table(header, rows, "metrics"),
        *(element("p", verdict, class_="warning") for verdict in _verdicts(captioned)),
        *(element("p", note, class_="note") for note in notes),
    ]


def _metric(family: Family, name: str) -> Markup | str:
    values = _values(family, name)
    value = family.mean(values)
    if value is None:
        return "–"
    return join([decimals(value), *spread_asides(family.std(values))])


def _values(family: Family, name: str) -> list[float | None]:
    return [result.numbers("captions").get(name) for result in family.results]


def _failed(family: Family) -> bool:
    """Whether it is no better than word frequencies."""
    loss, unigram = family.number("caption_loss_per_token"), family.number("unigram_loss")
    return loss is not None and unigram is not None and loss >= unigram


def _verdicts(captioned: Sequence[Family]) -> list[str]:
    failed = [family for family in captioned if _failed(family)]
    if not failed:
        return []
    return [
        f"The loss of {names_of(failed)} is not below that of word frequencies alone: nothing was learned"
        " about the video or the order of words."
    ]


def _losses(captioned: Sequence[Family], attachments: Attachments) -> list[Markup]:
    """The loss per word by epoch, on validation samples where there are any, else while training."""
    for column, what in (
        ("val_caption_loss_per_token", "Caption loss per word on the validation samples"),
        ("train_caption_loss_per_token", "Caption loss per word in training"),
    ):
        curves = [curve for family in captioned if (curve := _curve(family, column)) is not None]
        if not curves:
            continue
        unigram = [rate for family in captioned if (rate := family.number("unigram_loss")) is not None]
        floors = [(f"unigram {max(unigram):.2f}", max(unigram))] if unigram else []
        ends = "; ".join(
            f"{curve.name} ends at {curve.values[np.isfinite(curve.values)][-1]:.3g}" for curve in curves
        )
        title = f"{what}, by epoch"
        drawing = figures.draw_curves(
            curves, figures.WORD_LOSS_LABEL, figures.WIDE, title, f"{title}: {ends}", floors
        )
        dashed = (
            " Dashed: the unigram loss, what word frequencies alone reach on the test captions."
            if floors
            else ""
        )
        return [attachments.figure("caption_loss", drawing, f"{title}.{dashed}")]
    return []


def _curve(family: Family, column: str) -> Curve | None:
    members = [result.by_epoch(column) for result in family.results]
    members = [values for values in members if np.isfinite(values).any()]
    if not members:
        return None
    # A captioner that has stopped is measured on; its losses while training are not there any more.
    length = min(int(np.flatnonzero(np.isfinite(values))[-1]) + 1 for values in members)
    mean = np.mean([values[:length] for values in members], axis=0)
    return Curve(family.short, family.colour, np.arange(1, length + 1, dtype=float), mean)


def _variety(family: Family) -> str:
    captions = family.first.test.predicted_captions
    empty = captions.count("")
    return f"{family.short}: {len(set(captions))} of {len(captions)}" + (
        f" ({empty} of them empty)" if empty else ""
    )


def _keep(captioned: Sequence[Family], attachments: Attachments) -> None:
    header = ["row", *_METRICS, "caption_loss_per_token", "unigram_loss"]
    rows = (
        [
            family.short,
            *(family.mean(_values(family, name)) for name in _METRICS),
            family.number("caption_loss_per_token"),
            family.number("unigram_loss"),
        ]
        for family in captioned
    )
    if not captioned:
        return
    attachments.table("captions", header, rows, "caption metrics and losses, means over the runs of a row")
    spoken = (
        [family.short, result.seed, result.fold, *cells]
        for family in captioned
        for result in family.results
        for cells in _captions(result)
    )
    attachments.table(
        "predicted_captions",
        ["row", "seed", "fold", "sample_id", "caption", "predicted_caption"],
        spoken,
        "every caption beside its reference",
    )


def _captions(result: Result) -> Iterator[tuple]:
    """Every test sample with its reference and what was said of it."""
    tested = result.test
    absent = (None,) * len(tested)
    return zip(tested.sample_ids, tested.captions or absent, tested.predicted_captions or absent, strict=True)
