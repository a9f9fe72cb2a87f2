"""Which clips a captioner looked at, word by word."""

from collections.abc import Sequence

import numpy as np

from ..attachments import Attachments
from ..families import Family
from ..figures import draw_matrix
from ..html import Markup, element, join
from ..wording import colour_key
from .caption_samples import score_aside

_HEAT_WORDS = 24


def attention(captioned: Sequence[Family], attachments: Attachments) -> list[Markup]:
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
    many = [
        _heat_map(family, name, score, [row for row in weights if row["sample_id"] == name], attachments)
        for name, score in ((tested.sample_ids[at], tested.true[at]) for at in places[:1] + places[1:][-1:])
    ]
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


def _heat_map(
    family: Family, name: str, score: float, mine: Sequence[dict], attachments: Attachments
) -> Markup:
    """The weights of one sample."""
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
    caption = join([element("b", name), *score_aside("score", score)])
    return attachments.figure(f"attention_{name}", drawing, caption, caption_first=True)
