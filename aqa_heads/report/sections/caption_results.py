"""What the captioners said: metrics, losses, captions beside their references, and which clips they looked
at.
"""

from collections.abc import Collection, Sequence

import numpy as np

from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..figures import Curve
from ..html import Markup, element, join, number, table
from ..matrix_figures import draw_matrix
from ..results import Result, finite, number_in
from ..wording import colour_key, names_of, row_name, signed, small, spread_asides

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


def captions_section(families: Sequence[Family], attachments: Attachments) -> list[Markup]:
    """Nothing where nobody spoke."""
    speaking = [family for family in families if _speaks(family.first)]
    _keep(speaking, attachments)
    if not speaking:
        return []
    said = {family.order: {row["sample_id"]: row for row in family.first.test} for family in speaking}
    variety = "; ".join(_variety(family, said[family.order].values()) for family in speaking)
    aside = (
        f"Different captions among those predicted for the test samples: {variety}. A captioner that says the"
        " same of many samples has not learned to look."
    )
    return [
        element("h2", "Captions"),
        *_metrics(speaking),
        *_losses(speaking, attachments),
        element("p", aside, class_="note"),
        *_beside_references(speaking, said),
        *_attention(speaking, attachments),
    ]


def _speaks(result: Result) -> bool:
    captioned = (
        "caption" in (result.config.get("tasks") or ()) and "predicted_caption" in (result.test or [{}])[0]
    )
    return captioned or any(row.get("predicted_caption") for row in result.test)


# Metrics and losses.


def _metrics(speaking: Sequence[Family]) -> list[Markup]:
    rows = []
    for family in speaking:
        cells = [_metric(family, name) for name in _METRICS]
        loss, unigram = family.number("caption_loss_per_token"), family.number("unigram_loss")
        std = family.std(family.numbers("caption_loss_per_token"))
        below = loss is not None and unigram is not None and loss >= unigram
        shown = element("span", _decimals(loss), class_="below") if below else _decimals(loss)
        rows.append([row_name(family), *cells, join([shown, *spread_asides(std)]), _decimals(unigram)])
    header = ["Run", *_METRICS.values(), "Loss per word (nats)", "Word frequencies alone"]
    notes = dict.fromkeys(
        str(note)
        for family in speaking
        for note in (family.first.summary.get("captions") or {}).get("notes") or ()
    )
    aside = (
        "Captions of the test samples beside what the commentator said. BLEU, ROUGE-L and METEOR from 0 to 1,"
        " CIDEr from 0 to 10. Loss: of the true captions, word by word, each after the true words before it."
        " Word frequencies alone: the loss of saying every word as often as the training captions do,"
        " whatever the video shows."
    )
    return [
        table(header, rows, "metrics"),
        element("p", aside, class_="note"),
        *(element("p", verdict, class_="warning") for verdict in _verdicts(speaking)),
        *(element("p", note, class_="note") for note in notes),
    ]


def _metric(family: Family, name: str) -> Markup | str:
    values = _values(family, name)
    value = family.mean(values)
    if value is None:
        return element("span", "not computed", class_="below")
    return join([_decimals(value), *spread_asides(family.std(values))])


def _values(family: Family, name: str) -> list[float | None]:
    return [finite((result.summary.get("captions") or {}).get(name)) for result in family.results]


def _verdicts(speaking: Sequence[Family]) -> list[str]:
    failed = []
    for family in speaking:
        loss, unigram = family.number("caption_loss_per_token"), family.number("unigram_loss")
        if loss is not None and unigram is not None and loss >= unigram:
            failed.append(family)
    if not failed:
        return []
    return [
        f"The loss of {names_of(failed)} is not below that of word frequencies alone: these captioners have"
        " learned which words are frequent, and nothing about the video or the order of words."
    ]


def _losses(speaking: Sequence[Family], attachments: Attachments) -> list[Markup]:
    """The loss per word by epoch, on validation samples where there are any, else while training."""
    for column, what in (
        ("val_caption_loss_per_token", "Caption loss per word on the validation samples"),
        ("train_caption_loss_per_token", "Caption loss per word in training"),
    ):
        curves = [curve for family in speaking if (curve := _curve(family, column)) is not None]
        if not curves:
            continue
        unigram = [rate for family in speaking if (rate := family.number("unigram_loss")) is not None]
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
    return Curve(family.short, family.order, np.arange(1, length + 1, dtype=float), mean)


# Captions.


def _variety(family: Family, rows: Collection[dict[str, str]]) -> str:
    captions = [row["predicted_caption"] for row in rows]
    empty = captions.count("")
    return f"{family.short}: {len(set(captions))} of {len(captions)}" + (
        f" ({empty} of them empty)" if empty else ""
    )


def _beside_references(speaking: Sequence[Family], said: dict[int, dict]) -> list[Markup]:
    by_loss = sorted(speaking[1:], key=lambda family: (_last_loss(family.first), family.order))
    chosen = sorted([speaking[0], *by_loss[: _ROWS - 1]], key=lambda family: family.order)
    common = [
        row
        for row in chosen[0].first.test
        if row.get("caption") and all(row["sample_id"] in said[family.order] for family in chosen)
    ]
    scored = [row for row in common if number_in(row["final_score"]) is not None]
    common = sorted(
        scored or common, key=lambda row: (number_in(row["final_score"]) or 0.0, row["sample_id"])
    )
    places = sorted(set(np.linspace(0, len(common) - 1, _SAMPLES).round().astype(int))) if common else []
    rows = []
    for row in (common[place] for place in places):
        named = join([row["sample_id"], *_score_aside("score", row["final_score"])])
        cells = [said[family.order][row["sample_id"]] for family in chosen]
        rows.append(
            [
                named,
                _shortened(row["caption"]),
                *(
                    join(
                        [
                            _shortened(cell["predicted_caption"]) or "(empty)",
                            *_score_aside("predicted score", cell["predicted_score"]),
                        ]
                    )
                    for cell in cells
                ),
            ]
        )
    if not rows:
        return [element("p", "No test sample has a reference caption and a predicted one.", class_="note")]
    choice = (
        "Shown are samples spread evenly"
        f" {'from the lowest to the highest true score' if scored else 'by their names'}, in the first row"
        f" and in those with the lowest last caption loss per token. Captions are cut after {_WORDS} words."
    )
    if any(len(family.results) > 1 for family in chosen):
        choice += " Of rows with several runs, the first run speaks."
    header = ["Sample", "Reference", *(family.short for family in chosen)]
    return [element("p", choice, class_="note"), table(header, rows, "captions")]


def _last_loss(result: Result) -> float:
    values = result.by_epoch("train_caption_loss_per_token")
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else np.inf


def _score_aside(name: str, cell: str | None) -> list[Markup]:
    score = number_in(cell)
    return [] if score is None else [small(f"{name} {score:.1f}")]


def _shortened(text: str) -> str:
    words = text.split()
    return text if len(words) <= _WORDS else " ".join(words[:_WORDS]) + f" … ({len(words)} words)"


def _decimals(value: float | None) -> Markup | str:
    return number(value, signed(value or 0))


# Weights over clips.


def _attention(speaking: Sequence[Family], attachments: Attachments) -> list[Markup]:
    """Words by clips, for the lowest and the highest score, of the first row that has such weights."""
    for family in speaking:
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
    spoken = {row["sample_id"] for row in weights}
    rows = [row for row in family.first.test if row["sample_id"] in spoken]
    rows.sort(key=lambda row: (number_in(row["final_score"]) is None, number_in(row["final_score"]) or 0.0))
    many = []
    for row in rows[:1] + rows[1:][-1:]:
        mine = [weight for weight in weights if weight["sample_id"] == row["sample_id"]]
        words = list(dict.fromkeys((int(weight["word_number"]), weight["word"]) for weight in mine))[
            :_HEAT_WORDS
        ]
        clips = sorted({weight["clip"] for weight in mine})
        at = {(int(weight["word_number"]), weight["clip"]): weight["weight"] for weight in mine}
        matrix = np.array([[at.get((place, clip), np.nan) for clip in clips] for place, _ in words])
        title = f"{row['sample_id']}, {family.short}"
        strongest = [int(np.nanargmax(line)) for line in matrix]
        described = f"Weights of clips at every word, {title}: " + ", ".join(
            f"{word} clip {clips[clip]}" for (_, word), clip in zip(words, strongest, strict=True)
        )
        drawing = draw_matrix(
            matrix / np.nanmax(matrix),
            [word for _, word in words],
            [str(clip) for clip in clips],
            ("word", "clip"),
            title,
            described,
        )
        caption = join([element("b", row["sample_id"]), *_score_aside("score", row["final_score"])])
        many.append(attachments.figure(f"attention_{row['sample_id']}", drawing, caption, caption_first=True))
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


def _keep(speaking: Sequence[Family], attachments: Attachments) -> None:
    header = ["row", *_METRICS, "caption_loss_per_token", "unigram_loss"]
    rows = (
        [
            family.short,
            *(family.mean(_values(family, name)) for name in _METRICS),
            family.number("caption_loss_per_token"),
            family.number("unigram_loss"),
        ]
        for family in speaking
    )
    if not speaking:
        return
    attachments.table("captions", header, rows, "caption metrics and losses, means over the runs of a row")
    spoken = (
        [
            family.short,
            result.seed,
            result.fold,
            row["sample_id"],
            row.get("caption"),
            row.get("predicted_caption"),
        ]
        for family in speaking
        for result in family.results
        for row in result.test
    )
    attachments.table(
        "predicted_captions",
        ["row", "seed", "fold", "sample_id", "caption", "predicted_caption"],
        spoken,
        "every caption beside its reference",
    )
