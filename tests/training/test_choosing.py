"""The epoch, chosen on held-out parts; the model, trained once more on all samples; what was held out."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from interrupted_runs import Interrupt, files
from sklearn.linear_model import Ridge
from sklearn.svm import SVR
from synthetic_cache import write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads.data.training_data import read_training_data
from aqa_heads.errors import RunError, TrainingError
from aqa_heads.evaluation.metrics import relative_l2, spearman
from aqa_heads.runs.folder import Work
from aqa_heads.runs.format import read_run
from aqa_heads.settings.experiments import TASKS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.choosing import folds as choosing
from aqa_heads.training.choosing.folds import Folds
from aqa_heads.training.description import score_range
from aqa_heads.training.fitting import Fitting
from aqa_heads.training.plan import Planner
from aqa_heads.training.processes import Processes
from aqa_heads.training.run import train
from aqa_heads.training.starting_point import fit_standardiser, make_model, prepare_start
from aqa_heads.training.steps import CachedSteps, steps_of

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_synthetic_cache(tmp_path_factory.mktemp("choosing") / "feats.h5", 24, 8)


@pytest.fixture
def config(path, tmp_path):
    return TrainingConfig(
        path,
        epochs=8,
        patience=4,
        lr=3e-3,
        batch_size=5,
        dropout=0.3,
        tasks=("score", "classes"),
        out=tmp_path / "runs",
        device="cpu",
        meteor=False,
        checkpoint_seconds=0,
    )


def parts(count):
    return {"validation_folds": count}


def weights_of(run):
    return run.load_model().state_dict()


def test_the_default_is_a_row_of_its_own_on_any_features(config, tmp_path):
    run = train(config)
    assert run.folder.name == "default-tasks-score-classes" and run.config["experiment"] == "default"
    assert run.config["label"].startswith("Default model")
    recorded = [run.config[name] for name in ("validate_on", "refit", "validation_folds")]
    assert recorded == ["auto", True, 5]
    other = write_synthetic_cache(tmp_path / "kinematics.h5", 6, 3, backbone="kinematics")
    run = train(replace(config, features=other, epochs=1, out=tmp_path))
    assert run.folder.name == "default-tasks-score-classes" and "kinematics" not in run.config["label"]


@pytest.mark.parametrize("experiment", ["baseline", "7"])
def test_rows_of_table_1_record_nothing_of_it_unless_asked(experiment):
    names = {"validate_on", "refit", "validation_folds"}
    config = TrainingConfig("feats.h5", experiment)
    assert not names & config.resolve().deciding().keys()
    assert names <= replace(config, refit=True).resolve().deciding().keys()
    assert names <= TrainingConfig("feats.h5", "ridge").resolve().deciding().keys()


@pytest.mark.parametrize("options", [parts(4), {"experiment": "baseline", "refit": True}], ids=str)
def test_the_reported_model_is_trained_on_all_samples_for_the_steps_that_were_chosen(config, options):
    """By hand: from the same seed, standardiser, scale and ridge start of all of them."""
    run = train(replace(config, **options))
    steps = run.summary["refit"]["steps"]["assessment"]
    assert run.summary["n_train"] == 24 and {row["split"] for row in run.predictions} == {"train", "test"}
    with FeatureCache(config.features) as cache:
        plan = Planner(cache).plan(replace(config, **options))
        data = read_training_data(cache, plan.config, plan.division).joined()
        assert [sample.sample_id for sample in data.train.samples] == sorted(f"s{n:02d}" for n in range(24))
        record = dict(run.config)
        record["score_scale"], record["score_centre"] = score_range(plan.config, data)
        torch.manual_seed(plan.config.seed)
        model = make_model(plan.config, record, data)
        fit_standardiser(model, data, plan.config)
        prepare_start(model, data, plan.config, record | {"notes": []}, None)
        by_hand = CachedSteps(model, data, plan.config, Work(config.out, 1e9), Processes(torch.device("cpu")))
        (part,) = by_hand.parts
        done, epoch = 0, 0
        while done < steps:
            epoch += 1
            batches, views = steps_of(data.train, plan.config, epoch)
            by_hand.begin_epoch(part, epoch)
            for place, chosen in enumerate(batches[: steps - done]):
                by_hand.take(part, chosen, views, epoch, place)
                done += 1
    mine = weights_of(run)
    assert all(torch.equal(mine[name], weight) for name, weight in model.state_dict().items())
    assert any(f"for {steps} steps" in note for note in run.config["notes"])


def test_where_the_start_is_best_the_model_is_the_start_on_all_samples(config):
    config = replace(config, tasks=("score",), lr=1.0, epochs=2)
    run = train(config)
    assert run.summary["chosen"]["assessment"]["epoch"] == 0
    assert run.summary["refit"] == {"steps": {"assessment": 0}, "epochs": {"assessment": 0.0}}
    ridge = train(replace(config, experiment="ridge", lr=None))
    mine, theirs = ([float(row["predicted_score"]) for row in each.predictions] for each in (run, ridge))
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)


@pytest.fixture
def little(config, tmp_path):
    """In two turns of two epochs, from no ridge start, so that the best epoch is a late one."""
    path = write_synthetic_cache(tmp_path / "little.h5", 12, 4)
    return replace(config, features=path, epochs=4, batch_size=4, ridge_start=False)


@pytest.mark.parametrize("options", [parts(3), parts(0)], ids=str)
def test_killed_at_any_stage_it_ends_with_the_same_bits(little, options, monkeypatch):
    monkeypatch.setattr(choosing, "_TURN", 2)
    config = replace(little, **options)
    whole = files(train(replace(config, out=config.out / "whole")).folder)
    take_turn, train_epoch = Folds._take_turn, Fitting._train_epoch

    def in_a_fold(self, number, end, live):
        if (number, end) == (2, 2):
            raise KeyboardInterrupt
        take_turn(self, number, end, live)

    def in_a_later_turn(self, number, end, live):
        if (number, end) == (1, 4):
            raise KeyboardInterrupt
        take_turn(self, number, end, live)

    def in_the_choice(self, part, epoch, *rest):
        if self._until is None and epoch == 3:
            raise KeyboardInterrupt
        return train_epoch(self, part, epoch, *rest)

    def in_the_refit(self, part, epoch, *rest):
        if self._until is not None and epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(self, part, epoch, *rest)

    kills = [(Fitting, "_train_epoch", in_the_refit)]
    if config.validation_folds:
        kills += [(Folds, "_take_turn", in_a_fold), (Folds, "_take_turn", in_a_later_turn)]
    else:
        kills.append((Fitting, "_train_epoch", in_the_choice))
    for place, (kind, name, killed) in enumerate(kills):
        run = replace(config, out=config.out / str(place))
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, killed)
            with pytest.raises(KeyboardInterrupt):
                train(run)
        resumed = train(replace(run, resume=True))
        assert files(resumed.folder) == whole, killed.__name__
        assert [path.name for path in run.out.iterdir()] == [resumed.folder.name]


def test_turns_and_memory_change_no_bit(little, monkeypatch):
    config = replace(little, **parts(2), tasks=TASKS)
    whole = files(train(replace(config, out=config.out / "whole")).folder)
    monkeypatch.setattr(choosing, "_MEMORY_SHARE", 0)
    monkeypatch.setattr(choosing, "_TURN", 3)
    assert files(train(config).folder) == whole


def test_the_epoch_is_that_of_all_held_out_predictions_together(config):
    run = train(replace(config, **parts(4)))
    chosen, rows = run.summary["chosen"]["assessment"], run.out_of_fold
    true, predicted = (np.array([getattr(row, name) for row in rows]) for name in ("true", "predicted"))
    assert sorted(row.sample_id for row in rows) == [f"s{number:02d}" for number in range(24)]
    assert {row.fold for row in rows} == {1, 2, 3, 4} and all(row.chose_epoch for row in rows)
    epoch = run.epochs[chosen["epoch"] - 1]
    assert chosen["value"] == -epoch.val_relative_l2 == -relative_l2(predicted, true)
    assert epoch.val_spearman == spearman(predicted, true)
    assert epoch.val_relative_l2 == min(each.val_relative_l2 for each in run.epochs)
    assert len(run.epochs) == min(8, chosen["epoch"] + 4) and run.summary["n_val"] == 24
    assert all(each.test_spearman is None for each in run.epochs)


def test_one_held_out_part_is_out_of_fold_too(config):
    options = {"experiment": "baseline"}
    for run in (train(replace(config, **options)), train(replace(config, **options, refit=True))):
        rows = run.out_of_fold
        assert {row.fold for row in rows} == {1} and len(rows) == run.summary["n_val"] == 6
        true, predicted = (np.array([getattr(row, name) for row in rows]) for name in ("true", "predicted"))
        assert run.summary["chosen"]["assessment"]["value"] == spearman(predicted, true)
    with open(run.folder / "out_of_fold.csv") as file:
        assert [float(row["predicted"]) for row in csv.DictReader(file)] == predicted.tolist()
    (run.folder / "out_of_fold.csv").unlink()
    assert read_run(run.folder).out_of_fold == ()
    assert train(replace(config, **options, protocol="paper", epochs=1)).out_of_fold == ()


@pytest.mark.parametrize("name", ["fold_1.pt", "checkpoint.pt"])
def test_where_what_waits_for_its_turn_is_damaged_the_run_begins_again(little, monkeypatch, name, said):
    monkeypatch.setattr(choosing, "_TURN", 2)
    config = replace(little, **parts(3))
    whole = files(train(replace(config, out=config.out / "whole")).folder)
    take_turn = Folds._take_turn

    def cut(self, number, end, live):
        if (number, end) == (1, 4):
            raise KeyboardInterrupt
        take_turn(self, number, end, live)

    run = replace(config, out=config.out / "cut")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Folds, "_take_turn", cut)
        train(run)
    (path,) = run.out.glob(f".*.unfinished/{name}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    said.clear()
    resumed = train(replace(run, resume=True))
    assert any(f"{name}: is damaged" in line and line.endswith("begins again") for line in said)
    assert files(resumed.folder) == whole


@pytest.mark.parametrize(
    "line, said",
    [
        ("s00,0,1.0,1.0,1", "fold is '0'"),
        ("s00,1,1.0,nan,1", "predicted is 'nan', expected a number that is finite"),
        ("s00,1,1.0,1.0,yes", "chose_epoch is 'yes'"),
        ("s00,1,1.0,1.0,1\ns00,2,1.0,1.0,1", "'s00' is there twice"),
    ],
)
def test_a_damaged_table_is_one_message(config, line, said):
    run = train(replace(config, experiment="ridge", tasks=("score",)))
    (run.folder / "out_of_fold.csv").write_text(f"sample_id,fold,true,predicted,chose_epoch\n{line}\n")
    with pytest.raises(RunError, match=f"out_of_fold.csv: cannot be read .*{said}"):
        read_run(run.folder)


@pytest.mark.parametrize("name", ["ridge", "c3d-svr"])
def test_a_closed_form_learns_from_all_and_is_out_of_fold_at_its_penalty(config, name):
    """By hand: scikit-learn on the mean clips, standardised by the samples that are fitted."""
    run = train(replace(config, experiment=name, tasks=("score",), **parts(3)))
    assert run.summary["n_train"] == 24 and run.config["validation_folds"] == 3
    with FeatureCache(config.features) as cache:
        ids = [sample.sample_id for sample in cache.samples]
        clips = [cache.features(place) for place in range(24)]
    scores = {row.sample_id: row.true for row in run.out_of_fold}
    assert len(scores) == 24
    for fold in (1, 2, 3):
        held = [row for row in run.out_of_fold if row.fold == fold]
        inside = {row.sample_id for row in held}
        kept = [place for place in range(24) if ids[place] not in inside]
        every = np.concatenate([clips[place] for place in kept]).astype(np.float64)
        mean = np.stack([(clips[place] - every.mean(0)).mean(0) / every.std(0) for place in range(24)])
        true = np.array([scores[ids[place]] for place in kept])
        penalty = chosen_penalty(run, name)
        if name == "ridge":
            model = Ridge(alpha=penalty).fit(mean[kept], true)
        else:
            model = SVR(kernel="linear", C=penalty, epsilon=0.1 * true.std()).fit(mean[kept], true)
        expected = model.predict(mean[[ids.index(row.sample_id) for row in held]])
        np.testing.assert_allclose([row.predicted for row in held], expected, rtol=1e-3, atol=1e-2)


def chosen_penalty(run, name):
    """The one at which a fit to all samples gives the run's weights."""
    return run.summary["penalty"][{"ridge": "alpha", "c3d-svr": "C"}[name]]


def new_groups(index, sample):
    return replace(sample, group=f"g{index % 6}" if sample.split == "train" else f"t{index % 2}")


@pytest.mark.parametrize(
    "options", [{"ridge_start": False, "epochs": 1}, {"experiment": "ridge", "tasks": ("score",)}], ids=str
)
def test_no_sample_changes_its_own_out_of_fold_prediction(config, tmp_path, options):
    """Of the penalty of a closed form that is so where it is not chosen anew: below ten samples."""
    train_count = 9 if "experiment" in options else 24
    predicted = []
    for shift in (0.0, 50.0):

        def change(index, sample, shift=shift):
            sample = new_groups(index, sample)
            return replace(sample, final_score=sample.final_score + shift * (index == 7))

        path = write_synthetic_cache(tmp_path / "feats.h5", train_count, 8, change=change)
        run = train(replace(config, features=path, out=tmp_path / str(shift), **options))
        predicted.append({row.sample_id: row.predicted for row in run.out_of_fold})
        fold = {row.sample_id for row in run.out_of_fold if row.fold == fold_of(run, "s07")}
    before, after = predicted
    assert before.keys() == after.keys() and "s07" in fold
    assert {name for name in before if before[name] == after[name]} == fold


def fold_of(run, name):
    return next(row.fold for row in run.out_of_fold if row.sample_id == name)


def test_names_of_groups_change_nothing(config, tmp_path):
    found = []
    for name in ("g", "z-"):

        def change(index, sample, name=name):
            # Another order of names, too.
            return replace(sample, group=name + str(index % 4 if name == "g" else 9 - index % 4))

        path = write_synthetic_cache(tmp_path / "feats.h5", 24, 8, change=change)
        run = train(replace(config, features=path, out=tmp_path / name, epochs=3))
        held_out = [replace(row, group=None) for row in run.out_of_fold]
        found.append((held_out, [row["predicted_score"] for row in run.predictions]))
    assert found[0] == found[1]


@pytest.mark.parametrize("sizes", [(8, 4), (4, 1), (5, 0)])
@pytest.mark.parametrize("experiment", ["default", "ridge"])
def test_a_dozen_samples_and_fewer_need_no_option(config, tmp_path, sizes, experiment):
    path = write_synthetic_cache(tmp_path / "few.h5", *sizes)
    run = train(replace(config, features=path, experiment=experiment, tasks=("score",), epochs=2))
    assert run.summary["n_train"] == len(run.out_of_fold) == sizes[0]


@pytest.mark.parametrize("validate_on", ["auto", "new-groups"])
def test_one_group_alone(config, tmp_path, validate_on):
    path = write_synthetic_cache(
        tmp_path / "one.h5", 6, 3, change=lambda index, sample: replace(sample, group="only")
    )
    run = train(replace(config, features=path, validate_on=validate_on, tasks=("score",), epochs=1))
    assert len(run.out_of_fold) == 6


@pytest.mark.parametrize(
    "sizes, change, options, said",
    [
        ((3, 2), {}, {}, "3 labelled training samples are too few to choose an epoch by"),
        ((9, 3), {"final_score": 7.0}, {}, "the 9 training score.s. are all 7.*--score-scale"),
        ((9, 3), {"video": "v.mp4", "start_frame": 0, "end_frame": 9}, {"allow_leak": True}, "share frames"),
        ((9, 3), {}, {"validate_on": "new-groups:camera"}, "no training sample has a group_camera"),
    ],
)
def test_what_cannot_be_chosen_is_one_message(config, tmp_path, sizes, change, options, said):
    path = write_synthetic_cache(
        tmp_path / "few.h5", *sizes, change=lambda index, sample: replace(sample, **change)
    )
    with pytest.raises(TrainingError, match=said):
        train(replace(config, features=path, tasks=("score",), **options))


@pytest.mark.parametrize(
    "options, said",
    [
        (
            {"validate_on": "groups"},
            "validate_on is 'groups', expected one of auto, new-groups, known-groups",
        ),
        ({"validate_on": "auto:"}, "validate_on is 'auto:'"),
        ({"validation_folds": 1}, "validation_folds is 1, expected 0 or a whole number from 2"),
        ({"validation_folds": 5, "refit": False}, "give --refit too"),
        ({"validation_folds": 5, "experiment": "baseline"}, "give --refit too"),
        ({"protocol": "paper", "refit": True}, "refit: given, but the paper's protocol has no validation"),
    ],
)
def test_what_cannot_be_asked_is_one_message(options, said):
    with pytest.raises(TrainingError, match=said):
        TrainingConfig("feats.h5", **options)


def test_progress_of_the_folds_is_that_of_their_epochs(config):
    with pytest.raises(KeyboardInterrupt):
        train(replace(config, **parts(4)), on_epoch=Interrupt(3))
    told = []
    run = train(replace(config, **parts(4), resume=True), on_epoch=lambda epoch: told.append(epoch.epoch))
    assert told == [epoch.epoch for epoch in run.epochs]
