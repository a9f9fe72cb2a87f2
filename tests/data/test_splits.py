from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from aqa_cache.annotations import Sample
from aqa_cache.datasets.mtl_aqa import convert
from aqa_cache.datasets.mtl_aqa_release import find_release
from aqa_heads.data.leaks import TEST_COPY, find_leaks, frames_of
from aqa_heads.data.splits import choose_split, fold_names
from aqa_heads.data.validation import FEWEST_GROUPS
from aqa_heads.errors import TrainingError
from aqa_heads.settings.choices import OFFICIAL_FOLDS


def make_samples(sizes, split="train", *, score=lambda number: number * 37 % 101):
    """One group per entry of `sizes`, of so many samples, each with a video of its own."""
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    return [
        Sample(
            f"{split}{number:04}",
            f"{split}{number}.mp4",
            split=split,
            group=f"g{group}",
            final_score=score(number),
        )
        for number, group in enumerate(groups)
    ]


def without_groups(samples):
    return [replace(sample, group=None) for sample in samples]


MANY = make_samples([10, 30, 5, 5, 20, 10, 10, 10]) + make_samples([8, 8], "test")
FEW = make_samples([20, 20, 10]) + make_samples([10], "test")
BARE = without_groups(MANY)
MIXED = MANY[:60] + BARE[60:]
SETS = {"many groups": MANY, "few groups": FEW, "no groups": BARE, "some without group": MIXED}


def ids(samples, indices):
    return {samples[index].sample_id for index in indices}


def groups_of(samples, indices):
    return {samples[index].group for index in indices} - {None}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("folds", [None, 3, 4])
def test_every_sample_trains_or_validates_or_is_tested(name, folds):
    samples = SETS[name]
    for seed in range(5):
        for fold in [None] if folds is None else fold_names(samples, folds):
            choice = choose_split(samples, "honest", seed, fold=fold, folds=folds)
            parts = [choice.train, choice.val, choice.test]
            assert sorted(sum(parts, [])) == list(range(len(samples)))
            assert all(part == sorted(part) and len(part) >= 3 for part in parts)
            if folds is None:
                assert {samples[index].split for index in choice.train + choice.val} == {"train"}


@pytest.mark.parametrize("name", SETS)
def test_the_order_of_samples_has_no_influence_and_the_seed_has(name):
    samples = SETS[name]
    shuffled = Random(0).sample(samples, len(samples))
    for folds, fold in ((None, None), (3, "2/3")):
        chosen = []
        for seed in range(6):
            one, again, other = (
                choose_split(given, "honest", seed, fold=fold, folds=folds)
                for given in (samples, samples, shuffled)
            )
            assert one == again and one.notes == other.notes
            for part in ("train", "val", "test"):
                assert ids(samples, getattr(one, part)) == ids(shuffled, getattr(other, part))
            chosen.append(frozenset(one.val))
        assert len(set(chosen)) > 2


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("name", ["many groups", "some without group"])
def test_whole_groups_are_held_out_near_the_share(name, share):
    for seed in range(20):
        choice = choose_split(SETS[name], "honest", seed, share)
        assert choice.whole_groups and not groups_of(SETS[name], choice.val) & groups_of(
            SETS[name], choice.train
        )
        assert abs(len(choice.val) - share * 100) <= 5
    assert (
        choice.notes == [choice.notes[0]]
        and f"{len(choice.val)} of 100 training samples with a score validate: " in (choice.notes[0])
    )


def test_what_fits_is_taken_and_one_more_if_that_is_nearer():
    # Of 40 samples 8 are wanted. Groups of 10: none fits, one comes nearer. Of 3: two fit, a third comes
    # nearer than 6.
    assert len(choose_split(make_samples([10] * 4), "honest", 0).val) == 10
    assert len(choose_split(make_samples([3] * 13 + [1]), "honest", 0).val) in (7, 9)
    # 24 samples, 4.8 wanted: 4 is nearer than 8.
    assert len(choose_split(make_samples([4] * 6), "honest", 0).val) == 4


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (FEW, f"there are only 3 groups, and holding out whole ones needs {FEWEST_GROUPS}"),
        (make_samples([50]), "there is only 1 group"),
        (BARE, "no sample names its group"),
        (make_samples([1000, 10, 10, 10]), "whole groups would come to 30 where 206 are wanted"),
        (
            make_samples([25, 25, 25, 25], score=lambda number: None if number > 27 else 5.0),
            "there are only 2 groups",
        ),
    ],
)
def test_single_samples_are_held_out_and_the_reason_is_given(samples, reason):
    choice = choose_split(samples, "honest", 0)
    scored = [sample for sample in samples if sample.split == "train" and sample.final_score is not None]
    note = next(note for note in choice.notes if "validate: single samples" in note)
    assert not choice.whole_groups and reason in note
    assert len(choice.val) == round(0.2 * len(scored)) and ids(samples, choice.val) <= {
        s.sample_id for s in scored
    }
    shared = groups_of(samples, choice.val)
    assert (f"{len(shared)} of {len(shared)} groups in validation train too" in choice.notes[-1]) == bool(
        shared
    )


def test_single_samples_are_spread_over_the_scores():
    samples = without_groups(make_samples([100], score=lambda number: float(number * 37 % 100)))
    for seed in range(10):
        scores = sorted(samples[index].final_score for index in choose_split(samples, "honest", seed).val)
        assert [int(score // 5) for score in scores] == list(range(20))


def test_unlabelled_samples_do_not_count_but_their_group_stays_whole():
    samples = [replace(s, final_score=None) if number % 2 else s for number, s in enumerate(MANY)]
    for seed in range(10):
        choice = choose_split(samples, "honest", seed)
        assert abs(sum(samples[index].final_score is not None for index in choice.val) - 10) <= 3
        assert not groups_of(samples, choice.val) & groups_of(samples, choice.train)


def test_where_nothing_is_scored_other_labels_count():
    samples = [replace(sample, final_score=None) for sample in MANY]
    labelled = [
        replace(sample, caption="a dive") if number < 70 else replace(sample, classes={"position": "pike"})
        for number, sample in enumerate(samples)
    ]
    choice = choose_split(labelled, "honest", 0)
    assert (
        choice.whole_groups
        and f"{len(choice.val)} of 100 training samples with a label validate" in choice.notes[0]
    )
    with pytest.raises(TrainingError, match="of 0 samples with a label 0 would validate and 0 train"):
        choose_split(samples, "honest", 0)


def entangled(seed, groups):
    """Actions that overlap in some videos, alone or through others, whole videos, copies; not more in a part
    than 40.
    """
    random = Random(seed)
    samples = []
    for video in range(40):
        start = 0
        for _ in range(random.randrange(1, 9)):
            start += random.choice([0, 40, 90, 100, 100, 100, 130])
            group = f"g{random.choice([video, video, video + 1]) * groups // 41}" if groups else None
            score = None if random.random() < 0.1 else float(random.randrange(100))
            row = Sample(
                f"{len(samples):03}", f"{video}.mp4", start, start + 100, "train", group, final_score=score
            )
            samples.append(row if video % 10 else replace(row, start_frame=None, end_frame=None))
    copies = random.sample(samples[20:], 12)
    return samples + [
        replace(one, sample_id=one.sample_id + TEST_COPY, video="copy of " + one.video) for one in copies
    ]


def must_stay_together(one, other):
    if other.sample_id in (one.sample_id + TEST_COPY, one.sample_id.removesuffix(TEST_COPY)):
        return True
    (start, end), (first, last) = frames_of([one, other]).values()
    return one.video == other.video and start < last and first < end


@pytest.mark.parametrize("groups", [0, 3, 25])
@pytest.mark.parametrize("folds", [None, 2, 7])
def test_samples_that_share_frames_are_never_on_two_sides(groups, folds):
    for seed in range(4):
        samples = entangled(seed, groups)
        pairs = [
            (a, b)
            for a in range(len(samples))
            for b in range(a)
            if must_stay_together(samples[a], samples[b])
        ]
        assert len(pairs) > 40
        for fold in [None] if folds is None else fold_names(samples, folds):
            choice = choose_split(samples, "honest", seed, fold=fold, folds=folds)
            sides = {index: side for side in ("train", "val", "test") for index in getattr(choice, side)}
            assert all(sides[one] == sides[other] for one, other in pairs) and len(set(sides.values())) > 1
            by_id = {samples[index].sample_id: side for index, side in sides.items()}
            assert find_leaks(samples, by_id, frames_of(samples)) == []


def test_sizes_stay_near_the_share_where_samples_share_frames():
    for seed in range(10):
        samples = entangled(seed, 0)
        choice = choose_split(samples, "honest", seed)
        scored = [index for index, sample in enumerate(samples) if sample.final_score is not None]
        assert abs(len(set(scored) & set(choice.val)) - 0.2 * len(scored)) <= 2
        tested = [
            len(choose_split(samples, "paper", seed, fold=f, folds=4).test) for f in fold_names(samples, 4)
        ]
        assert max(tested) - min(tested) <= 2

    assert "that share no frames of a video, and each stays whole" in choice.notes[0]


def test_pairs_are_spread_over_the_scores():
    samples = [
        Sample(
            f"{number:03}",
            f"{number // 2}.mp4",
            number % 2 * 50,
            100 + number % 2,
            "train",
            final_score=number // 2 * 37 % 50,
        )
        for number in range(100)
    ]
    for seed in range(5):
        scores = sorted(samples[index].final_score for index in choose_split(samples, "honest", seed).val)
        assert scores[::2] == scores[1::2] and [score // 5 for score in scores[::2]] == list(range(10))
        for fold in fold_names(samples, 5):
            test = choose_split(samples, "honest", seed, fold=fold, folds=5).test
            scores = sorted(samples[index].final_score for index in test)
            assert scores[::2] == scores[1::2] and [score // 5 for score in scores[::2]] == list(range(10))


def test_frames_that_touch_are_not_shared_and_those_really_used_count():
    samples = [
        Sample(f"{n:02}", "x.mp4", 10 * n, 10 * n + 10, "train", final_score=float(n)) for n in range(50)
    ]
    assert len(choose_split(samples, "honest", 0).val) == 10
    one_frame_more = {sample.sample_id: (sample.start_frame, sample.end_frame + 1) for sample in samples}
    for share in (0.2, 0.9):
        with pytest.raises(
            TrainingError, match="0 would validate and 50 train, .*; the 50 samples are 1 part.* start_frame"
        ):
            choose_split(samples, "honest", 0, share, frames=one_frame_more)
    unknown = [replace(sample, start_frame=None, end_frame=None) for sample in samples]
    with pytest.raises(
        TrainingError, match="folds is 2, but the 50 samples are only 1 part.*; fill in start_frame"
    ):
        choose_split(unknown, "honest", 0, fold="1/2", folds=2)
    assert choose_split(unknown, "honest", 0, frames=frames_of(samples)) == choose_split(samples, "honest", 0)
    three = [replace(sample, video=f"{number % 3}.mp4") for number, sample in enumerate(unknown)]
    with pytest.raises(
        TrainingError, match="folds is 4, but the 50 samples are only 3 part.*; give --folds 3 or fewer"
    ):
        choose_split(three, "honest", 0, fold="1/4", folds=4)
    # 10 are wanted: none is nearer than one of two videos of 25, but then nobody would validate.
    two = [replace(sample, video=f"{number % 2}.mp4") for number, sample in enumerate(unknown)]
    assert len(choose_split(two, "honest", 0).val) == 25


def test_groups_that_share_frames_count_as_one():
    samples = make_samples([10] * 5)
    shared = [replace(s, video="x.mp4") if number in (5, 15, 25) else s for number, s in enumerate(samples)]
    choice = choose_split(shared, "honest", 0)
    reason = (
        f"of 5 groups only 3 share no frames of a video, and holding out whole ones needs {FEWEST_GROUPS}"
    )
    assert reason in choice.notes[0] and len({5, 15, 25} & set(choice.val)) in (0, 3)
    folded = choose_split(shared, "honest", 0, fold="1/4", folds=4)
    assert (
        "of 5 groups only 3 share no frames of a video, and 4 folds of whole groups need 4" in folded.notes[0]
    )
    assert sorted(len(choose_split(shared, "paper", 0, fold=f"{n}/3", folds=3).test) for n in (1, 2, 3)) == [
        10,
        10,
        30,
    ]


def test_only_scores_that_can_be_used_count():
    # Every other group has no difficulty: multiplied by it, its scores say nothing.
    samples = [replace(s, difficulty=None if int(s.group[1:]) % 2 else 3.0) for s in make_samples([5] * 20)]
    usable = {index for index, sample in enumerate(samples) if sample.difficulty}
    for given in (samples, without_groups(samples)):
        for seed in range(10):
            choice = choose_split(given, "honest", seed, scored=lambda sample: sample.difficulty is not None)
            assert len(usable & set(choice.val)) == 10 and not set(choice.val) - usable
            assert "10 of 50 training samples with a score validate" in choice.notes[0]
    validating = [replace(sample, split="val") if not sample.difficulty else sample for sample in samples]
    with pytest.raises(TrainingError, match="of 50 samples with a score 0 would validate and 50 train"):
        choose_split(validating, "honest", 0, scored=lambda sample: sample.difficulty is not None)


def test_samples_of_split_val_validate():
    samples = FEW + [replace(sample, group="new") for sample in make_samples([5], "val")]
    choice = choose_split(samples, "honest", 0)
    assert ids(samples, choice.val) == {f"val{number:04}" for number in range(5)} and len(choice.train) == 50
    assert choice.whole_groups and choice.notes == ["the 5 samples of split val validate"]
    shared = choose_split(FEW + make_samples([5], "val"), "honest", 0)
    assert not shared.whole_groups and shared.notes[1].startswith(
        "1 of 1 groups in validation train too (g0)"
    )


def test_the_papers_protocol_validates_nothing():
    samples = FEW + make_samples([5], "val") + [Sample("unsaid", "x.mp4")]
    choice = choose_split(samples, "paper", 0)
    assert (len(choice.train), choice.val, len(choice.test)) == (50, [], 10) and not choice.whole_groups
    assert choice.notes == [
        "1 samples without split are left out",
        "5 samples of split val are left out: the paper's protocol has no validation",
    ]
    assert choose_split(FEW[:50], "paper", 0).test == []
    folded = choose_split(samples, "paper", 0, fold="1/3", folds=3)
    assert folded.val == [] and len(folded.train) + len(folded.test) == len(samples)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_sample_is_tested_in_exactly_one_fold(name, folds):
    samples = SETS[name]
    for seed in range(3):
        choices = [
            choose_split(samples, "honest", seed, fold=f, folds=folds) for f in fold_names(samples, folds)
        ]
        assert sorted(index for choice in choices for index in choice.test) == list(range(len(samples)))
        assert all("the annotations' split is not used" in " ".join(choice.notes) for choice in choices)
        if len(groups_of(samples, range(len(samples)))) >= folds:
            for choice in choices:
                assert not groups_of(samples, choice.test) & groups_of(samples, choice.train + choice.val)
        else:
            assert "folds are of single samples: " in choices[0].notes[0]


def test_folds_are_of_nearly_equal_size():
    def sizes(samples, folds):
        names = fold_names(samples, folds)
        return sorted(len(choose_split(samples, "paper", 0, fold=fold, folds=folds).test) for fold in names)

    # Groups of 30, 20, 10, 10, 10, 10, 5, 5, each into the smallest fold: 30; 20 and 5; 10, 10 and 5; 10 and
    # 10.
    assert sizes(MANY[:100], 4) == [20, 25, 25, 30]
    assert sizes(BARE, 5) == [23, 23, 23, 23, 24]


def test_folds_of_single_samples_are_dealt_out_along_the_scores():
    samples = without_groups(make_samples([100], score=lambda number: float(number * 37 % 100)))
    for fold in fold_names(samples, 5):
        test = choose_split(samples, "honest", 3, fold=fold, folds=5).test
        assert [score // 5 for score in sorted(samples[index].final_score for index in test)] == list(
            range(20)
        )


def test_official_folds_are_tested_in_turn():
    samples = [replace(s, fold=None if number < 3 else f"f{8 + number % 3}") for number, s in enumerate(MANY)]
    assert fold_names(samples, OFFICIAL_FOLDS) == ["f8", "f9", "f10"]
    tested = Counter()
    for fold in fold_names(samples, OFFICIAL_FOLDS):
        choice = choose_split(samples, "honest", 0, fold=fold, folds=OFFICIAL_FOLDS)
        assert {samples[index].fold for index in choice.test} == {fold}
        assert choice.notes[0] == "3 samples without fold are left out"
        assert not {0, 1, 2} & {*choice.train, *choice.val, *choice.test}
        tested.update(choice.test)
    assert tested == Counter(range(3, len(samples)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: choose_split(MANY, "honest", 0, 1.0),
            "validation share is 1.0, expected a number between 0 and 1",
        ),
        (
            lambda: choose_split(MANY[100:], "honest", 0),
            "none of 16 samples .* 'train' .16 test, 0 val, 0 without split.*",
        ),
        (
            lambda: choose_split(FEW[:7], "honest", 0),
            "of 7 samples with a score 1 would validate and 6 train, expected .* 3",
        ),
        (lambda: choose_split(FEW[:7], "honest", 0, 0.9), "6 would validate and 1 train"),
        (
            lambda: choose_split(FEW[:9] + make_samples([2], "val"), "honest", 0),
            "2 would validate and 9 train",
        ),
        (
            lambda: choose_split(MANY, "honest", 0, fold="4/3", folds=3),
            "fold is '4/3', expected one of 1/3, 2/3, 3/3",
        ),
        (lambda: choose_split(MANY, "honest", 0, folds=3), "fold is None, expected one of 1/3"),
        (lambda: fold_names(MANY, 1), "folds is 1, expected a whole number from 2 to 116"),
        (lambda: fold_names(MANY, 117), "folds is 117, expected a whole number from 2 to 116"),
        (lambda: fold_names(MANY, "offcial"), "folds is 'offcial', expected .* or official"),
        (lambda: fold_names(MANY, OFFICIAL_FOLDS), r"names 0 fold\(s\) \(it is empty\), expected at least 2"),
        (lambda: fold_names([Sample("a", "a", fold="x")] * 9, OFFICIAL_FOLDS), r"names 1 fold\(s\) \(x\)"),
    ],
)
def test_what_cannot_be_split_is_one_message(call, message):
    with pytest.raises(TrainingError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_ten_thousand_samples_in_as_many_folds():
    samples = make_samples([1] * 10_000)
    assert len(choose_split(samples, "honest", 0, fold="7/10000", folds=10_000).test) == 1
    assert len(choose_split(without_groups(samples), "honest", 0, fold="7/10000", folds=10_000).val) == 2000


def test_real_official_split_holds_out_whole_events(mtl_aqa):
    samples = convert(find_release(mtl_aqa)).samples
    for seed in range(5):
        choice = choose_split(samples, "honest", seed)
        assert choice.whole_groups and len(choice.train) + len(choice.val) == 1059 and len(choice.test) == 353
        assert abs(len(choice.val) / 1059 - 0.2) < 0.02
    subset = choose_split(convert(find_release(mtl_aqa), "size_140").samples, "honest", 0)
    assert (len(subset.train), len(subset.val), len(subset.test)) == (
        114,
        29,
        317,
    ) and not subset.whole_groups
