"""Validation samples stand to training samples as the test samples do."""

from dataclasses import replace
from random import Random

import pytest

from aqa_cache.annotations import Sample
from aqa_heads.data.folds import penalty_folds, validation_folds
from aqa_heads.data.mirror import Mirror, mirror_of
from aqa_heads.data.splits import choose_split
from aqa_heads.data.units import group_of
from aqa_heads.errors import TrainingError


def make(groups, split="train", start=0, **extra):
    return [
        Sample(
            f"{split}{number:03}",
            f"{split}{number}.mp4",
            split=split,
            group=group,
            final_score=float(number * 37 % 101),
            extra={name: values[place] for name, values in extra.items()},
        )
        for place, (number, group) in enumerate(enumerate(groups, start))
    ]


TRAIN = make([f"g{number % 10}" for number in range(100)])
NEW = make(["new"] * 20, "test")
KNOWN = make([f"g{number % 5}" for number in range(20)], "test")
HALF = NEW[:10] + KNOWN[10:]


def shares(samples, choice):
    """Of the validation samples those whose group trains too."""
    training = {samples[index].group for index in choice.train}
    return sum(samples[index].group in training for index in choice.val) / len(choice.val)


@pytest.mark.parametrize(("test", "known"), [(NEW, 0), (KNOWN, 1), (HALF, 0.5)])
@pytest.mark.parametrize("seed", range(5))
def test_as_many_validate_with_their_group_in_training_as_are_tested_so(test, known, seed):
    samples = TRAIN + test
    choice = choose_split(samples, "honest", seed, validate_on="auto")
    assert len(choice.val) == 20 and sorted(choice.train + choice.val) == list(range(100))
    assert shares(samples, choice) == known and choice.mirror.known == known
    number = f"{round(known * 20)} of 20 test samples are" if known else "no test sample is"
    assert f"{number} of a group that is in training, too" in choice.notes
    assert not any("easier" in note for note in choice.notes)


@pytest.mark.parametrize("test", [NEW, KNOWN, HALF])
def test_either_can_be_forced(test):
    for asked, known in (("new-groups", 0), ("known-groups", 1)):
        assert shares(TRAIN + test, choose_split(TRAIN + test, "honest", 1, validate_on=asked)) == known


def test_single_samples_are_spread_over_the_scores():
    samples = TRAIN + KNOWN
    scores = sorted(s.final_score for s in TRAIN)
    for seed in range(10):
        chosen = choose_split(samples, "honest", seed, validate_on="auto").val
        places = sorted(scores.index(samples[index].final_score) for index in chosen)
        assert all(abs(place - 5 * number) <= 5 for number, place in enumerate(places))


@pytest.mark.parametrize("test", [NEW, KNOWN, HALF])
def test_order_of_samples_and_names_of_groups_change_nothing(test):
    samples = TRAIN + test
    shuffled = Random(0).sample(samples, len(samples))
    renamed = [replace(sample, group=f"{sample.group[::-1]}!") for sample in samples]

    def held(given):
        choice = choose_split(given, "honest", 3, validate_on="auto")
        folds = validation_folds(given, choice.train + choice.val, choice.mirror, 5, 3)
        return [{given[index].sample_id for index in fold} for fold in [choice.val, *folds]]

    assert held(samples) == held(shuffled) == held(renamed)


@pytest.mark.parametrize("known", [0, 0.3, 1])
@pytest.mark.parametrize("seed", range(5))
def test_every_labelled_sample_is_in_one_fold_and_the_folds_mirror_the_test(known, seed):
    unlabelled = [replace(sample, final_score=None) for sample in make(["g0", "g1"], start=900)]
    samples = TRAIN + unlabelled
    folds = validation_folds(samples, range(102), Mirror("group", known), 5, seed)
    assert sorted(sum(folds, [])) == list(range(100)) and {len(fold) for fold in folds} <= {*range(17, 24)}
    training = [{samples[index].group for index in range(100) if index not in fold} for fold in folds]
    shared = sum(samples[i].group in rest for fold, rest in zip(folds, training, strict=True) for i in fold)
    assert shared == 100 * known


def test_a_role_without_known_groups_is_held_out_whole_whatever_is_mirrored():
    # People are on both sides; the two hospitals of the test are new.
    train = make(
        [f"person {number % 6}" for number in range(60)],
        group_hospital=[f"h{number // 6}" for number in range(60)],
    )
    test = make(["person 1"] * 10, "test", group_hospital=["h98", "h99"] * 5)
    samples, notes = train + test, []
    mirror = mirror_of(samples, range(60), range(60, 70), "auto", notes)
    assert mirror == Mirror("group", 1, ("group_hospital",)) and len(notes) == 2
    choice = choose_split(samples, "honest", 0, validate_on="auto")
    for held in [choice.val, *validation_folds(samples, range(60), mirror, 5, 0)]:
        others = [index for index in range(60) if index not in held]
        inside, outside = ({group_of(samples[i], "group_hospital") for i in part} for part in (held, others))
        assert not inside & outside and {samples[i].group for i in held} <= {samples[i].group for i in others}
    # The one named is mirrored.
    named = mirror_of(samples, range(60), range(60, 70), "known-groups:hospital", [])
    assert named == Mirror("group_hospital", 1, ())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("groups", "validate_on is 'groups', expected one of auto, new-groups, known-groups"),
        ("auto:city", "no training sample has a group_city; there is group"),
    ],
)
def test_what_is_not_there_is_one_message(asked, said):
    with pytest.raises(TrainingError, match=said):
        choose_split(TRAIN + NEW, "honest", 0, validate_on=asked)


def test_without_groups_or_test_samples_it_is_said_what_is_done():
    bare = [replace(sample, group=None) for sample in TRAIN + NEW]
    choice = choose_split(bare, "honest", 0, validate_on="auto")
    assert choice.mirror == Mirror("group", 1) and len(choice.val) == 20
    untested = choose_split(TRAIN, "honest", 0, validate_on="auto")
    assert untested.mirror.known == 0 and untested.whole_groups
    assert any("no test sample says whether its group trains too" in note for note in untested.notes)


def test_few_groups_or_samples_still_give_somebody_to_validate():
    two = make(["a", "b"] * 6) + make(["c"] * 4, "test")
    choice = choose_split(two, "honest", 0, validate_on="auto")
    assert len(choice.val) >= 3 and any("there are only 2 groups" in note for note in choice.notes)
    assert [len(fold) for fold in validation_folds(two, range(12), choice.mirror, 5, 0)] == [6, 6]
    one = make(["a"] * 12) + make(["a"] * 4, "test")
    assert len(validation_folds(one, range(12), Mirror("group", 1), 5, 0)) == 5
    assert validation_folds(one, range(12), Mirror(), 5, 0) and not validation_folds(one, [0], Mirror(), 5, 0)


def test_a_penalty_is_chosen_one_at_a_time_where_nothing_must_stay_together():
    assert penalty_folds(TRAIN, Mirror("group", 1), 0) is None
    folds = penalty_folds(TRAIN, Mirror(), 0)
    assert len(folds) == 5 and sorted(sum(folds, [])) == list(range(100))
    twins = [replace(sample, video="one.mp4", start_frame=0, end_frame=9) for sample in TRAIN[:2]] + TRAIN[2:]
    assert {0, 1} in [{0, 1} & set(fold) for fold in penalty_folds(twins, Mirror("group", 1), 0)]
