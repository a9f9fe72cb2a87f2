from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from planned import planned_data
from synthetic_cache import without, write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.errors import CacheError
from aqa_heads.captions.vocabulary import EOS, SOS
from aqa_heads.data.batches import NO_CLASS
from aqa_heads.errors import TrainingError
from aqa_heads.settings.experiments import TASKS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.plan import Planner


def read(path, tasks=TASKS, protocol="paper", **options):
    with FeatureCache(path) as cache:
        return planned_data(
            cache,
            TrainingConfig(
                path, tasks=tasks, protocol=protocol, device="cpu", **{"experiment": "baseline", **options}
            ),
        )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feats.h5"


def test_every_sample_keeps_its_clips_and_labels(path):
    write_synthetic_cache(path)
    data = read(path)
    with FeatureCache(path) as cache:
        for split, first in ((data.train, 0), (data.test, 12)):
            for index, sample in enumerate(split.samples):
                assert sample == cache.samples[first + index]
                np.testing.assert_array_equal(split.clips[index], cache.features(first + index))
                assert split.score[index] == pytest.approx(sample.final_score) and split.factor[index] == 1
                for name, names in data.class_names.items():
                    assert names[split.classes[name][index]] == sample.classes[name]
        assert data.vocabulary.decode(data.train.captions[0][1:].tolist()) == cache.samples[0].caption
    assert data.tasks == TASKS and data.notes == [] and len(data.val) == 0


def test_a_batch_holds_what_its_samples_hold(path):
    write_synthetic_cache(path)
    split = read(path).train
    indices = [4, 0, 2]
    batch = split.batch(indices)
    captions = [split.captions[index] for index in indices]
    assert batch.captions == 3 and batch.features.shape == (3, int(batch.lengths.max()), 8)
    assert torch.equal(batch.targets, torch.cat([caption[1:] for caption in captions]))
    steps = batch.inputs.shape[1]
    inputs = torch.cat([caption[:-1] for caption in captions])
    assert torch.equal(batch.inputs.flatten()[batch.positions], inputs)
    assert (batch.inputs[:, 0] == SOS).all() and steps == max(map(len, captions)) - 1
    for row, index in enumerate(indices):
        count = int(batch.lengths[row])
        assert (
            torch.equal(batch.features[row, :count], split.clips[index])
            and (batch.features[row, count:] == 0).all()
        )
        assert (batch.inputs[row, len(captions[row]) - 1 :] == EOS).all()


def test_the_vocabulary_is_of_the_training_split_only(path):
    def change(index, sample):
        return replace(sample, caption="brand new words") if sample.split == "test" else sample

    write_synthetic_cache(path, change=change)
    assert not set(read(path).vocabulary.words) & {"brand", "new", "words"}


def test_classes_are_sorted_by_number_or_else_by_letters(path):
    def change(index, sample):
        return replace(
            sample,
            classes={"turns": str([10, 2, 9, 1.5][index % 4]), "kind": "b10 b9 nan a".split()[index % 4]},
        )

    write_synthetic_cache(path, change=change)
    assert read(path).class_names == {"turns": ["1.5", "2", "9", "10"], "kind": ["a", "b10", "b9", "nan"]}


def test_a_class_only_tested_is_not_told_to_the_model_and_said_once(path):
    def change(index, sample):
        return replace(sample, classes={"turns": "7" if sample.split == "test" else "3"})

    write_synthetic_cache(path, change=change)
    data = read(path)
    assert data.class_names == {"turns": ["3"]}
    assert [note for note in data.notes if "turns" in note] == [
        "class column 'turns': 7 occur(s) in no training sample and will always be named wrongly"
    ]


def test_missing_labels_are_marked_and_counted(path):
    def change(index, sample):
        return (
            replace(sample, final_score=None, classes={}, caption=None)
            if index == 2
            else replace(sample, final_score=None)
            if index == 3
            else sample
        )

    write_synthetic_cache(path, change=change)
    data = read(path)
    assert data.train.score.isnan().tolist() == [False, False, True, True, *[False] * 8]
    assert (data.train.classes["position"] == NO_CLASS).nonzero().tolist() == [[2]] and len(
        data.train.captions[2]
    ) == 0
    assert data.train.labelled == [0, 1, *range(3, 12)]
    assert "1 of 12 training samples have no label of these tasks and are not trained on" in data.notes


def test_a_task_without_training_label_drops_out_and_says_so(path):
    write_synthetic_cache(path, change=without("final_score", "caption", splits=("train",)))
    data = read(path)
    assert data.tasks == ("classes",)
    assert "task score is left out: no training sample has a final_score" in data.notes
    assert "task caption is left out: no training sample has a caption" in data.notes


def test_tasks_not_asked_for_give_no_labels(path):
    write_synthetic_cache(path)
    data = read(path, ("classes",))
    assert data.tasks == ("classes",) and data.train.score.isnan().all() and data.vocabulary is None


def test_samples_without_features_are_left_out_and_counted(path):
    write_synthetic_cache(path, failed=(1, 13))
    data = read(path)
    assert [sample.sample_id for sample in data.train.samples] == [
        "s00",
        *(f"s{index:02d}" for index in range(2, 12)),
    ]
    assert len(data.test) == 5
    assert (
        data.notes[0]
        == "2 of 18 samples have no features in feats.h5 and are left out (first: s01: video is truncated)"
    )


def test_validation_and_unsplit_samples_are_left_out_and_counted(path):
    def change(index, sample):
        return replace(sample, split={0: "val", 1: None, 14: None}.get(index, sample.split))

    write_synthetic_cache(path, change=change)
    data = read(path)
    assert (len(data.train), len(data.val), len(data.test)) == (10, 0, 5)
    assert any("1 samples of split val are left out" in note for note in data.notes)
    assert any("2 samples without split are left out" in note for note in data.notes)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"change": lambda index, sample: replace(sample, split=None)},
            "no sample with features has split 'train'.*18 without split",
        ),
        ({"train": 0, "test": 3}, "no sample with features has split 'train' .3 test"),
        ({"train": 1}, "1 training sample with features and a label .s00.; at least 2 are needed"),
        (
            {"change": without("final_score", "classes", "caption")},
            "no training sample has a label for score, classes, caption",
        ),
        (
            {"change": lambda index, sample: replace(sample, caption="a <eos> b")},
            "caption of s00 contains <eos>",
        ),
    ],
)
def test_samples_that_cannot_be_trained_with_are_refused(path, options, message):
    write_synthetic_cache(path, **options)
    with pytest.raises(TrainingError, match=message):
        read(path)


THREE_VIEWS = {
    "more": lambda index, plain: plain + 100,
    "most": lambda index, plain: None if index < 2 else plain + 200,
}


def test_training_samples_keep_the_views_they_have_and_test_samples_the_plain_one(path):
    write_synthetic_cache(path, views=THREE_VIEWS)
    data = read(path)
    with FeatureCache(path) as cache:
        assert data.train.views.counts == [2, 2, *[3] * 10]
        for index, views in enumerate(data.train.views.counts):
            for view in range(views):
                np.testing.assert_array_equal(data.train.views.read(index, view), cache.features(index, view))
            np.testing.assert_array_equal(data.train.clips[index], cache.features(index))
    assert data.test.views.counts == [1] * 6
    assert data.notes[-2:] == [
        (
            "in each epoch training draws one of the 3 views of every sample; everything is evaluated on the"
            " plain one"
        ),
        "2 of 12 training samples lack some of the 3 views and draw among those they have (first: s00 has 2)",
    ]
    plain = read(path, views="plain")
    assert plain.train.views.counts == [1] * 12
    assert plain.notes[-1] == "only the plain one of the 3 views in feats.h5 is trained on"


def test_views_are_drawn_equally_often_among_those_a_sample_has(path):
    write_synthetic_cache(path, views=THREE_VIEWS)
    split = read(path).train
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([split.draw_views(generator) for _ in range(3000)])
    for sample in range(12):
        views = 2 if sample < 2 else 3
        counts = torch.bincount(drawn[:, sample], minlength=3)
        # Five standard deviations of a binomial count.
        assert (counts[:views] - 3000 / views).abs().max() < 5 * (3000 * 1 / views * (1 - 1 / views)) ** 0.5
        assert counts[views:].sum() == 0
    assert len({tuple(row) for row in drawn.tolist()}) > 2900  # of 236,196: every sample draws for itself


def test_a_batch_holds_the_views_it_is_asked_for(path):
    write_synthetic_cache(path, views=THREE_VIEWS)
    split = read(path).train
    views = [1, 0, 2, 0, 1, 2, *[0] * 6]
    batch, plain = split.batch([4, 1, 2], views), split.batch([4, 1, 2])
    real = torch.arange(plain.features.shape[1]) < plain.lengths[:, None]
    for row, more in enumerate((100, 0, 200)):
        torch.testing.assert_close(batch.features[row][real[row]], plain.features[row][real[row]] + more)
    assert torch.equal(batch.score, plain.score) and torch.equal(batch.inputs, plain.inputs)


def test_a_damaged_feature_is_one_message(path):
    write_synthetic_cache(path)
    with h5py.File(path, "r+") as file:
        file["features"][0, 0] = np.nan
    with pytest.raises(CacheError, match="s00: the feature of clip 0 in feats.h5 is not finite"):
        read(path)


def test_without_test_samples_it_says_so(path):
    write_synthetic_cache(path, test=0)
    data = read(path)
    assert len(data.test) == 0 and "no sample has split test: trained without test metrics" in data.notes


def test_what_validates_is_a_split_of_its_own(path):
    write_synthetic_cache(path, views=THREE_VIEWS)
    data = read(path, protocol="honest")
    assert (len(data.train), len(data.val), len(data.test)) == (9, 3, 6)
    ids = [{sample.sample_id for sample in split.samples} for split in data.splits.values()]
    assert len(set.union(*ids)) == 18 and list(data.splits) == ["train", "val", "test"]
    assert len({sample.group for sample in data.val.samples}) == 1 and data.choice.whole_groups
    assert data.val.views.counts == [1, 1, 1] and max(data.train.views.counts) == 3
    assert any("3 of 12 training samples with a score validate: whole groups" in note for note in data.notes)


def test_the_words_of_validation_captions_are_not_in_the_vocabulary(path):
    def change(index, sample):
        return replace(sample, split="val", caption=f"unheard{index}") if index < 3 else sample

    write_synthetic_cache(path, change=change)
    assert not any(word.startswith("unheard") for word in read(path, protocol="honest").vocabulary.words)


def test_execution_scores_are_what_is_left_of_the_difficulty(path):
    write_synthetic_cache(
        path, change=lambda index, sample: replace(sample, difficulty=None) if index == 3 else sample
    )
    data = read(path, difficulty="multiply")
    for split in (data.train, data.test):
        for index, sample in enumerate(split.samples):
            if sample.sample_id == "s03":
                assert split.score[index].isnan() and np.isnan(split.factor[index])
            else:
                assert split.score[index] == pytest.approx(sample.final_score / sample.difficulty)
                assert split.factor[index] == sample.difficulty


def test_tasks_that_a_run_is_named_after_are_those_it_trains(path):
    write_synthetic_cache(path, change=without("caption"))
    with FeatureCache(path) as cache:
        for protocol in ("honest", "paper"):
            config = TrainingConfig(path, experiment="baseline", protocol=protocol, device="cpu")
            plan = Planner(cache).plan(config)
            assert plan.config.tasks == planned_data(cache, config).tasks == ("score", "classes")
            assert plan.name.endswith(
                "tasks-score-classes" + ("-protocol-paper" if protocol == "paper" else "")
            )


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_without_any_label_it_is_said_which_are_missing(path, protocol):
    write_synthetic_cache(path, change=without("final_score", "classes", "caption"))
    with pytest.raises(
        TrainingError, match="no training sample has a label for score, classes, caption; fill in final_score"
    ):
        read(path, protocol=protocol)


def test_folds_test_every_sample_once(path):
    write_synthetic_cache(path, change=lambda index, sample: replace(sample, split=None))
    tested = [
        [s.sample_id for s in read(path, folds="3", fold=f"{number}/3").test.samples] for number in (1, 2, 3)
    ]
    assert sorted(sum(tested, [])) == [f"s{index:02d}" for index in range(18)]
    with pytest.raises(TrainingError, match="fold is None, expected one of 1/3, 2/3, 3/3"):
        read(path, folds="3")
