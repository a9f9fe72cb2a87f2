"""What the captioners said: metrics, losses, captions beside their references, and which clips they looked
at.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..figures import Curve, draw_matrix
from ..html import Markup, Section, element, join, table, term
from ..report import Report
from ..results import Result
from ..wording import colour_key, counted, decimals, listed, names_of, row_name, small, spread_asides

_SAMPLES, _ROWS, _WORDS, _HEAT_WORDS = 4, 3, 40, 24
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
        *_beside_references(captioned),
        *_attention(captioned, attachments),
    )
    learned = sum(not _failed(family) for family in captioned)
    said = f"{learned} of {counted(len(captioned), 'captioner')} learned more than word frequencies"
    return Section("Captions", content, said)


def _has_captions(result: Result) -> bool:
    said = result.test.predicted_captions
    return said is not None and ("caption" in result.asked.tasks or any(said))


# Metrics and losses.


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


# Captions.


def _variety(family: Family) -> str:
    captions = family.first.test.predicted_captions
    empty = captions.count("")
    return f"{family.short}: {len(set(captions))} of {len(captions)}" + (
        f" ({empty} of them empty)" if empty else ""
    )


def _beside_references(captioned: Sequence[Family]) -> list[Markup]:
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
        join([name, *_score_aside("score", reference.true[place])]),
        _shortened(reference.captions[place]),
    ]
    for tested in (family.first.test for family in chosen):
        mine = tested.place[name]
        said = _shortened(tested.predicted_captions[mine]) or "(empty)"
        row.append(join([said, *_score_aside("predicted score", tested.predicted[mine])]))
    return row


def _last_loss(result: Result) -> float:
    values = result.by_epoch("train_caption_loss_per_token")
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else np.inf


def _score_aside(name: str, score: float) -> list[Markup]:
    return [small(f"{name} {score:.1f}")] if np.isfinite(score) else []


def _shortened(text: str) -> str:
    words = text.split()
    return text if len(words) <= _WORDS else " ".join(words[:_WORDS]) + f" … ({len(words)} words)"


# Weights over clips.


def _attention(captioned: Sequence[Family], attachments: Attachments) -> list[Markup]:
    """Words by clips, for the lowest and the highest score, of the first row that has such weights."""
    for family in captioned:
        weights = family.first.clip_weights("caption_attention.csv", "word_number", "word")
        if weights:
            return _attention_figures(family, weights, attachments)
    return []


def _attention_figures(family: Family, weights: Sequence[dict], attachments: Attachments) -> list[Markup]:
    header = ["sample_id", "word_number", "word", "clip", "weight"]
    attachments.table(
        "caption_attention",
        header,
        ([row[name] for name in header] for row in weights),
        f"weights of clips at every word of the test captions, {family.short}",
    )
    tested = family.first.test
    spoken = {row["sample_id"] for row in weights}
    places = [place for place, name in enumerate(tested.sample_ids) if name in spoken]
    places.sort(key=lambda place: (np.isnan(tested.true[place]), np.nan_to_num(tested.true[place])))
    many = []
    for place in places[:1] + places[1:][-1:]:
        name = tested.sample_ids[place]
        mine = [weight for weight in weights if weight["sample_id"] == name]
        words = list(dict.fromkeys((weight["word_number"], weight["word"]) for weight in mine))[:_HEAT_WORDS]
        clips = sorted({weight["clip"] for weight in mine})
        at = {(weight["word_number"], weight["clip"]): weight["weight"] for weight in mine}
        matrix = np.array([[at.get((word, clip), np.nan) for clip in clips] for word, _ in words])
        title = f"{name}, {family.short}"
        strongest = [int(np.nanargmax(line)) for line in matrix]
        described = f"Weights of clips at every word, {title}: " + ", ".join(
            f"{word} clip {clips[clip]}" for (_, word), clip in zip(words, strongest, strict=True)
        )
        drawing = draw_matrix(
            matrix / (np.nanmax(matrix) or 1),
            [word for _, word in words],
            [str(clip) for clip in clips],
            ("word", "clip"),
            title,
            described,
        )
        caption = join([element("b", name), *_score_aside("score", tested.true[place])])
        many.append(attachments.figure(f"attention_{name}", drawing, caption, caption_first=True))
    aside = (
        "Weight of every clip at every word, of the samples with the lowest and the highest score; the"
        f" darkest cell is the largest weight of the sample. Captions are cut after {_HEAT_WORDS} words."
        " Weights say what was mixed in, not what was understood."
    )
    return [
        element("h3", "Where ", colour_key(family), family.short, " looked at each word"),
        element("p", aside, class_="note"),
        element("div", *many, class_="matrices"),
    ]


# Files.


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
