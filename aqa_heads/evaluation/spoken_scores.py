"""Captions that give the score away."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aqa_cache.annotations import Sample

from .spoken_numbers import numbers_in

EXAMPLES = 5


@dataclass(frozen=True)
class SpokenScores:
    """Captions that state the sample's own score, so that whoever reads the caption knows it.

    Args:
        n: samples with a caption and a score.
        stated: how many of these captions contain the score.
        by_chance: how many would, on average, if each caption were given the score of a sample drawn at
            random.
        examples: sample_ids of the first few.
    """

    n: int
    stated: int
    by_chance: float
    examples: list[str]

    def line(self) -> str:
        """In a sentence."""
        if not self.stated:
            return f"none of {self.n:,} states the sample's own score"
        return (
            f"{self.stated:,} of {self.n:,} state the sample's own score ({self.by_chance:,.1f} would by"
            f" chance), such as those of {', '.join(self.examples)}: a model that is given them is given the"
            " answer"
        )


def spoken_scores(samples: Sequence[Sample]) -> SpokenScores | None:
    """What the captions say; None where no sample has both caption and score."""
    told = [
        (sample, sample.caption, round(sample.final_score, 2))
        for sample in samples
        if sample.caption and sample.final_score is not None
    ]
    if not told:
        return None
    scores = Counter(score for _, _, score in told)
    stated: list[str] = []
    by_chance = 0.0
    for sample, caption, score in told:
        numbers = {number for number in numbers_in(caption) if _telling(number, sample)}
        by_chance += sum(scores[number] for number in numbers) / len(told)
        if score in numbers:
            stated.append(sample.sample_id)
    return SpokenScores(len(told), len(stated), by_chance, stated[:EXAMPLES])


def _telling(number: float, sample: Sample) -> bool:
    """Whether a number in the caption could only be the score: not a small count, the difficulty, or a
    mark.
    """
    return (number >= 10 or number % 1 > 0) and number != sample.difficulty and number not in sample.judges
