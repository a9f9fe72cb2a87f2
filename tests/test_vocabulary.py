import pytest

from aqa_heads.errors import TrainingError
from aqa_heads.vocabulary import CAPTION_SLOTS, EOS, SOS, UNKNOWN, Vocabulary


def test_reserved_words_come_first_then_the_words_sorted():
    assert Vocabulary.of(["pike b", "a pike"]).words == ["<eos>", "<sos>", "<unk>", "a", "b", "pike"]


def test_decoding_gives_back_what_was_encoded():
    vocabulary = Vocabulary.of(["that is [Applause] lovely"])
    assert vocabulary.decode(vocabulary.encode("is that lovely")[1:]) == "is that lovely"


def test_words_that_training_did_not_have_are_unknown():
    assert Vocabulary.of(["a"]).encode("b a c") == [SOS, UNKNOWN, 3, UNKNOWN, EOS]


@pytest.mark.parametrize("words", [1, CAPTION_SLOTS - 2, CAPTION_SLOTS - 1, CAPTION_SLOTS, 485])
def test_a_caption_takes_at_most_100_slots_and_ends_with_eos(words):
    vocabulary = Vocabulary.of(["a"])
    numbers = vocabulary.encode(" ".join(["a"] * words))
    assert len(numbers) == min(words + 2, 100)
    assert numbers[0] == SOS and numbers[-1] == EOS and set(numbers[1:-1]) == {3}


def test_decoding_stops_at_the_first_eos():
    vocabulary = Vocabulary.of(["a b"])
    assert vocabulary.decode([3, EOS, 4, EOS]) == "a"
    assert vocabulary.decode([EOS, 4]) == ""


def test_a_damaged_vocabulary_is_refused():
    with pytest.raises(TrainingError, match="expected"):
        Vocabulary(["a", "b"])
