"""What is decided before features are read: the run's folder."""

from dataclasses import replace

import pytest
from interrupted_runs import Interrupt
from synthetic_cache import write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads.runs.folder import hidden_folder
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.plan import Planner
from aqa_heads.training.run import train

pytestmark = pytest.mark.usefixtures("small")
SMALL = {"epochs": 2, "device": "cpu", "meteor": False, "checkpoint_seconds": 0}


def bare(index, sample):
    return replace(sample, classes={}, caption="")


def some(index, sample):
    return bare(index, sample) if index else sample


@pytest.fixture
def name(tmp_path):
    """The name of the folder, on samples that are changed so."""
    paths = {}

    def of(change, **options):
        if change not in paths:
            paths[change] = write_synthetic_cache(
                tmp_path / f"{change.__name__}.h5", 12, 6, **({} if change is whole else {"change": change})
            )
        with FeatureCache(paths[change]) as cache:
            config = TrainingConfig(paths[change], **{"out": tmp_path / "runs", **options})
            return Planner(cache).plan(config).name

    return of


def whole(index, sample):
    return sample


def test_the_default_model_says_its_tasks_where_it_leaves_some_out(name):
    assert name(whole) == name(bare) == name(some) == "default"
    assert name(bare, folds=3, fold="1/3", seed=2) == "default-fold-1-3-seed2"
    assert name(bare, encoder="average") == "default-encoder-average"
    # Asked for, or a row of the paper, which has all three: as before.
    assert name(whole, tasks="score") == name(bare, tasks="score") == "default-tasks-score"
    assert name(bare, experiment="7") == "exp7-tasks-score"


def test_a_run_that_was_begun_under_the_longer_name_goes_on_under_it(tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5", 12, 6, change=bare)
    config = TrainingConfig(path, out=tmp_path / "runs", **SMALL)
    uninterrupted = train(replace(config, out=tmp_path / "other"))
    assert uninterrupted.folder.name == "default"

    with pytest.raises(KeyboardInterrupt):
        train(config, on_epoch=Interrupt(after=1))
    # As an earlier version would have left it.
    long = config.out / "default-tasks-score"
    hidden_folder(config.out / "default").rename(hidden_folder(long))
    resumed = train(replace(config, resume=True))
    assert resumed.folder == long
    same = [(one.folder / "predictions.csv").read_bytes() for one in (resumed, uninterrupted)]
    assert same[0] == same[1]
    again = train(replace(config, resume=True))  # finished: nothing is trained a second time
    assert again.folder == long and sorted(p.name for p in config.out.iterdir() if p.is_dir()) == [long.name]
