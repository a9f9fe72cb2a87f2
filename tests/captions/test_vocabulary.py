import json
import math
from pathlib import Path

import pytest

from aqa_cache.datasets.mtl_aqa import convert
from aqa_cache.datasets.mtl_aqa_release import find_release
from aqa_heads.captions.vocabulary import CAPTION_SLOTS, EOS, SOS, Vocabulary, unigram_loss
from aqa_heads.errors import TrainingError

UNKNOWN = 2  # of a vocabulary made from captions
SPLIT, SUBSET = "MTL-AQA_split_0_data", "smaller_training_sets/size_140"


def write_vocabulary(folder: Path, word_to_ix) -> Path:
    path = folder / "vocab.json"
    path.write_text(json.dumps({"word_to_ix": word_to_ix}))
    return path


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b"], r"starts with \['a', 'b'\], expected \['<eos>', '<sos>'\]"),
        (["<sos>", "<eos>", "<unk>"], "expected"),
        ([], "expected"),
        (["<eos>", "<sos>", "a"], "vocabulary of 3 words, expected <unk> among them"),
        (["<eos>", "<sos>", "<unk>", "a", "b", "a"], "has 'a' more than once"),
    ],
)
def test_a_damaged_vocabulary_is_refused(words, message):
    with pytest.raises(TrainingError, match=message):
        Vocabulary(words)


def test_the_papers_vocabulary_keeps_its_numbers_and_unk_comes_last(tmp_path):
    path = write_vocabulary(tmp_path, {"pike": 3, "<sos>": 1, "a": 2, "<eos>": 0})
    vocabulary = Vocabulary.from_paper(path)
    assert vocabulary.words == ["<eos>", "<sos>", "a", "pike", "<unk>"]
    assert vocabulary.encode("a tuck pike") == [SOS, 2, vocabulary.unknown, 3, EOS]
    assert Vocabulary(vocabulary.words).unknown == 4
    again = write_vocabulary(tmp_path, {word: number for number, word in enumerate(vocabulary.words)})
    assert Vocabulary.from_paper(again).words == vocabulary.words, "an <unk> of its own is kept"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a vocabulary of MTL-AQA"),
        ("[" * 100_000, "is not a vocabulary of MTL-AQA"),
        ("[]", "no object 'word_to_ix'"),
        ('{"word_to_ix": [1]}', "no object 'word_to_ix'"),
        ('{"word_to_ix": {}}', "starts with"),
        ('{"word_to_ix": {"<sos>": 0, "<eos>": 1}}', "expected .*'<eos>', '<sos>'"),
        (
            '{"word_to_ix": {"<eos>": 0, "<sos>": 1, "a": 3}}',
            "of its 3 words none has the number 2, expected 0 to 2",
        ),
        ('{"word_to_ix": {"<eos>": 0, "<sos>": 1, "a": 1}}', "none has the number 2"),
        ('{"word_to_ix": {"<eos>": 0, "<sos>": true, "a": 2}}', "none has the number 1"),
        ('{"word_to_ix": {"<eos>": 0, "<sos>": 1, "a b": 2}}', "'a b' is not a single word"),
        (b"\xff\xfe{}", "is not a vocabulary of MTL-AQA"),
    ],
)
def test_a_damaged_vocabulary_of_the_paper_is_one_message(tmp_path, text, message):
    path = tmp_path / "vocab.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(TrainingError, match=message) as caught:
        Vocabulary.from_paper(path)
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).count("\n") == 0


def test_a_vocabulary_that_cannot_be_read_is_one_message(tmp_path):
    with pytest.raises(TrainingError, match="cannot be read: No such file"):
        Vocabulary.from_paper(tmp_path / "vocab.json")
    with pytest.raises(TrainingError, match="cannot be read: Is a directory"):
        Vocabulary.from_paper(tmp_path)


@pytest.mark.parametrize(("split", "words", "lien"), [(SPLIT, 5781, 5779), (SUBSET, 2066, None)])
def test_real_vocabularies_keep_their_numbers(mtl_aqa, split, words, lien):
    vocabulary = Vocabulary.from_paper(mtl_aqa / "Ready_2_Use" / split / "vocab.json")
    assert len(vocabulary) == words + 1 and vocabulary.unknown == words
    assert vocabulary.encode("and") == [SOS, 2, EOS]
    assert vocabulary.encode("lien") == [SOS, lien or vocabulary.unknown, EOS]


def test_real_captions_are_all_in_the_papers_vocabulary(mtl_aqa):
    vocabulary = Vocabulary.from_paper(mtl_aqa / "Ready_2_Use" / SPLIT / "vocab.json")
    captions = [sample.caption for sample in convert(find_release(mtl_aqa)).samples if sample.caption]
    assert len(captions) == 1412
    for caption in captions:
        numbers = vocabulary.encode(caption)
        assert vocabulary.unknown not in numbers
        assert vocabulary.decode(numbers[1:]).split() == caption.split()[: CAPTION_SLOTS - 2]


def test_unigram_loss_by_hand():
    # Training tokens: a b <eos> a <eos>; words: <eos> <sos> <unk> a b. Out of 5 + 5: a 3, b 2, <eos> 3, <unk>
    # 1.
    assert unigram_loss(["a b", "a"], ["b c"]) == pytest.approx(
        -(math.log(0.2) + math.log(0.1) + math.log(0.3)) / 3
    )
    # With six words more in the vocabulary, out of 5 + 11; c is one of them and not unknown, both occurred
    # never.
    larger = Vocabulary([*Vocabulary.of(["a b"]).words, *"cdefgh"])
    assert unigram_loss(["a b", "a"], ["b c"], larger) == pytest.approx(
        -math.log(2 / 16 * 1 / 16 * 3 / 16) / 3
    )


def test_unigram_loss_is_a_mean_over_tokens_and_not_over_captions():
    long, short = "a " * 9 + "b", "b"
    apart = [unigram_loss(["a b"], [caption]) for caption in (long, short)]
    assert unigram_loss(["a b"], [long, short]) == pytest.approx((11 * apart[0] + 2 * apart[1]) / 13)


def test_unigram_loss_counts_only_what_a_captioner_has_to_say():
    assert unigram_loss(["a b"], ["a " * 98]) == pytest.approx(
        unigram_loss(["a b"], ["a " * 98 + "b " * 300])
    )


def test_unigram_probabilities_sum_to_one():
    train = ["a b a", "c"]
    words = Vocabulary.of(train).words
    # A caption of one word is that word and <eos>.
    eos = unigram_loss(train, [""])
    each = [math.exp(eos - 2 * unigram_loss(train, [word])) for word in words[2:]]
    # the last is <sos>, never said
    assert sum(each) + math.exp(-eos) + 1 / (6 + len(words)) == pytest.approx(1)


def test_unigram_loss_needs_captions_on_both_sides():
    assert math.isnan(unigram_loss([], ["a"])) and math.isnan(unigram_loss(["a"], []))
