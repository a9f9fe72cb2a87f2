"""The tables of a run: what it predicts of every sample, and which clips it looked at."""

from collections.abc import Mapping, Sequence

from aqa_cache.annotations import CLASS_PREFIX

from ..data.training_data import TrainingData
from ..evaluation.predictions import Predictions


def result_tables(data: TrainingData, predictions: Mapping[str, Predictions]) -> dict[str, dict[str, list]]:
    """The tables of a run by file name; rows are training, validation and test samples in the cache's
    order.
    """
    tables = {"predictions.csv": _prediction_columns(data, predictions)}
    made = [(split, predictions[name]) for name, split in data.splits.items() if len(split)]
    if all(said.contributions is not None for _, said in made):
        rows = [
            (sample.sample_id, clip, weight)
            for split, said in made
            for sample, weights in zip(split.samples, said.contributions, strict=True)
            for clip, weight in enumerate(weights.tolist())
        ]
        tables["contributions.csv"] = _columns(("sample_id", "clip", "weight"), rows)
    tested = predictions["test"]
    if tested.attention is not None:
        rows = [
            (sample.sample_id, place, word, clip, weight)
            for sample, caption, weights in zip(
                data.test.samples, tested.captions, tested.attention, strict=True
            )
            for place, word in enumerate(caption.split())
            for clip, weight in enumerate(weights[place].tolist())
        ]
        tables["caption_attention.csv"] = _columns(
            ("sample_id", "word_number", "word", "clip", "weight"), rows
        )
    return tables


def _prediction_columns(data: TrainingData, predictions: Mapping[str, Predictions]) -> dict[str, list]:
    splits = [(name, split, predictions[name]) for name, split in data.splits.items()]
    samples = [sample for _, split, _ in splits for sample in split.samples]

    def joined(values) -> list:
        return [
            value
            for _, split, made in splits
            for value in (values(made) if values(made) is not None else [None] * len(split))
        ]

    columns = {"sample_id": [sample.sample_id for sample in samples]}
    # The split that was used: with folds, or with validation samples, it is not that of the annotations.
    columns["split"] = [name for name, split, _ in splits for _ in split.samples]
    columns |= {name: [getattr(s, name) for s in samples] for name in ("group", "difficulty", "final_score")}
    columns["predicted_score"] = joined(lambda made: made.score)
    if any(made.spread is not None for made in predictions.values()):
        columns["spread"] = joined(lambda made: made.spread)
    for name in data.class_names:
        columns[CLASS_PREFIX + name] = [sample.classes.get(name) for sample in samples]
        columns[f"predicted_{CLASS_PREFIX}{name}"] = joined(lambda made, name=name: made.classes.get(name))
    columns["caption"] = [sample.caption for sample in samples]
    columns["predicted_caption"] = joined(lambda made: made.captions)
    return columns


def _columns(names: Sequence[str], rows: Sequence[Sequence]) -> dict[str, list]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
