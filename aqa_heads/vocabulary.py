"""Words and their numbers."""

from collections.abc import Iterable, Sequence

from .errors import TrainingError

EOS, SOS, UNKNOWN = 0, 1, 2
RESERVED = ("<eos>", "<sos>", "<unk>")
CAPTION_SLOTS = 100


class Vocabulary:
    """The words of the training captions, numbered.

    Word 0 is `<eos>`, which is also the padding; 1 is `<sos>`; 2 is `<unk>`, any word that training did not have.

    Args:
        words: in the order of their numbers, the three reserved ones first.

    Differs from the original: its vocabulary was built on the test captions too and has no `<unk>`.

    >>> vocabulary = Vocabulary.of(["a dive", "a splash"])
    >>> vocabulary.encode("a somersault")
    [1, 3, 2, 0]
    >>> vocabulary.decode([3, 4, 0, 5])
    'a dive'
    """

    def __init__(self, words: Sequence[str]):
        if tuple(words[: len(RESERVED)]) != RESERVED:
            raise TrainingError(f"vocabulary starts with {list(words[:3])}, expected {list(RESERVED)}; it is damaged")
        self.words = list(words)
        self._number = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def of(cls, captions: Iterable[str]) -> "Vocabulary":
        """Every word of `captions`, sorted."""
        return cls([*RESERVED, *sorted({word for caption in captions for word in caption.split()})])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, caption: str) -> list[int]:
        """`<sos>`, the words, `<eos>`; at most `CAPTION_SLOTS`, a longer one cut there with `<eos>` in the last slot."""
        numbers = [SOS, *(self._number.get(word, UNKNOWN) for word in caption.split()), EOS]
        return [*numbers[: CAPTION_SLOTS - 1], EOS] if len(numbers) > CAPTION_SLOTS else numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """The words up to the first `<eos>`, separated by spaces."""
        words = []
        for number in numbers:
            if number == EOS:
                break
            words.append(self.words[number])
        return " ".join(words)
