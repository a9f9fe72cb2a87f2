"""Words and their numbers."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from ..errors import TrainingError

EOS, SOS = 0, 1
RESERVED = ("<eos>", "<sos>", "<unk>")
CAPTION_SLOTS = 100


class Vocabulary:
    """Words, numbered from 0.

    Word 0 is `<eos>`, which is also the padding; 1 is `<sos>`; `<unk>`, for any word that is not in it, has
    the number `unknown`, wherever it stands.

    Args:
        words: in the order of their numbers, each once.

    Raises:
        TrainingError: the reserved words are not where they must be, or a word occurs twice.

    >>> vocabulary = Vocabulary.of(["a dive", "a splash"])
    >>> vocabulary.encode("a somersault")
    [1, 3, 2, 0]
    >>> vocabulary.decode([3, 4, 0, 5])
    'a dive'
    """

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self.words)} words>"

    def __init__(self, words: Sequence[str]):
        eos, sos, unknown = RESERVED
        self.words = list(words)
        self._number = {word: number for number, word in enumerate(self.words)}
        if self.words[:2] != [eos, sos]:
            raise TrainingError(
                f"vocabulary starts with {self.words[:2]}, expected {[eos, sos]}; it is damaged"
            )
        if unknown not in self._number:
            raise TrainingError(
                f"vocabulary of {len(self.words)} words, expected {unknown} among them; it is damaged"
            )
        if len(self._number) < len(self.words):
            twice = next(word for number, word in enumerate(self.words) if self._number[word] != number)
            raise TrainingError(
                f"vocabulary has {twice!r} more than once, expected every word once; it is damaged"
            )
        self.unknown = self._number[unknown]

    @classmethod
    def of(cls, captions: Iterable[str]) -> "Vocabulary":
        """Every word of `captions`, sorted, behind the reserved ones. For training: give it the training
        captions only.

        Differs from the original: its vocabulary was built on the test captions too, and has no `<unk>`.
        """
        return cls([*RESERVED, *sorted({word for caption in captions for word in caption.split()})])

    @classmethod
    def from_paper(cls, path: str | Path) -> "Vocabulary":
        """The vocabulary that MTL-AQA publishes, with its own numbers; `<unk>`, which it lacks, comes last.

        The main split's has 5,781 words, so 5,782 here. It was built on training and test captions together.
        Each of the smaller training sets has a vocabulary of its own, numbered differently.

        Args:
            path: a `vocab.json`, of which `word_to_ix` is read.

        Raises:
            TrainingError: it cannot be read, or is not such a file.
        """
        path = Path(path)
        try:
            words = _words_by_number(json.loads(path.read_text(encoding="utf-8-sig")))
            return cls(words if RESERVED[2] in words else [*words, RESERVED[2]])
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot be read: {error.strerror or error}; give the vocab.json of MTL-AQA"
            ) from None
        except (ValueError, RecursionError, TrainingError) as error:
            raise TrainingError(
                f"{path}: is not a vocabulary of MTL-AQA: {error}; give the vocab.json beside the split's"
                " annotations"
            ) from None

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, caption: str) -> list[int]:
        """`<sos>`, the words, `<eos>`; at most `CAPTION_SLOTS`, a longer one cut there with `<eos>` in the
        last slot.
        """
        numbers = [SOS, *(self._number.get(word, self.unknown) for word in caption.split()), EOS]
        return [*numbers[: CAPTION_SLOTS - 1], EOS] if len(numbers) > CAPTION_SLOTS else numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """The words up to the first `<eos>`, separated by spaces."""
        words: list[str] = []
        for number in numbers:
            if number == EOS:
                break
            words.append(self.words[number])
        return " ".join(words)


def unigram_loss(
    train_captions: Iterable[str], test_captions: Iterable[str], vocabulary: Vocabulary | None = None
) -> float:
    """What a captioner loses per token that knows how often each word occurs in training, and nothing of the
    video.

    Mean over the test tokens of -ln p(word) with p(word) = (count(word) + 1) / (tokens + words): counts and
    tokens of the training captions, words of the vocabulary. Tokens are what a captioner has to say: the
    words of `Vocabulary.encode` without `<sos>` and with `<eos>`, so that it stands beside a captioner's loss
    per token on the same captions.

    Where `test_captions` are the training captions themselves, adding one makes it higher than the best such
    captioner's: by .01 on MTL-AQA's 1,059, by .03 on its 143, and by .3 on the 143 with the paper's
    vocabulary.

    Args:
        vocabulary: the captioner's. None: of the training captions.

    Returns:
        Nats per token; NaN where either side has no caption.

    >>> round(unigram_loss(["a b", "a"], ["a c"]), 4)  # of 5 + 5: a 3, <unk> 1, <eos> 3
    1.5702
    """
    train_captions, test_captions = list(train_captions), list(test_captions)
    if not train_captions or not test_captions:
        return math.nan
    vocabulary = vocabulary or Vocabulary.of(train_captions)
    counts = Counter(number for caption in train_captions for number in vocabulary.encode(caption)[1:])
    tokens = Counter(number for caption in test_captions for number in vocabulary.encode(caption)[1:])
    total = counts.total() + len(vocabulary)
    return (
        sum(times * math.log(total / (counts[number] + 1)) for number, times in tokens.items())
        / tokens.total()
    )


def _words_by_number(record: object) -> list[str]:
    """The words of a parsed vocab.json in the order of their numbers."""
    found = cast(dict[str, Any], record).get("word_to_ix") if isinstance(record, dict) else None
    if not isinstance(found, dict):
        raise ValueError("it has no object 'word_to_ix'")
    numbers = cast(dict[str, Any], found)
    words = {number: word for word, number in numbers.items() if type(number) is int}
    if lacking := [number for number in range(len(numbers)) if number not in words]:
        raise ValueError(
            f"of its {len(numbers)} words none has the number {lacking[0]}, expected 0 to {len(numbers) - 1},"
            " each once"
        )
    if odd := [word for word in numbers if len(word.split()) != 1]:
        raise ValueError(f"its word {odd[0]!r} is not a single word")
    return [words[number] for number in range(len(numbers))]
