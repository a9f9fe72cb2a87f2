import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_cache import tuned_on, without, write_synthetic_cache

from aqa_cli.data import data
from aqa_cli.train import main
from aqa_heads.runs.format import read_run
from aqa_heads.settings.experiments import EXPERIMENTS

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def path(tmp_path):
    return write_synthetic_cache(tmp_path / "feats.h5")


@pytest.fixture
def aqa_train(path, tmp_path):
    def run(*arguments):
        options = [
            "--features",
            path,
            "--exp",
            "baseline",
            "--out",
            tmp_path / "runs",
            "--device",
            "cpu",
            "--epochs",
            1,
            "--no-meteor",
        ]
        return CliRunner().invoke(main, [str(word) for word in (*options, *arguments)])

    return run


def test_one_experiment_leaves_a_run_and_prints_a_table(aqa_train, tmp_path):
    result = aqa_train("--exp", "1", "--epochs", 12, "--patience", 99, "--tasks", "score,classes")
    assert result.exit_code == 0, result.output
    run = read_run(tmp_path / "runs" / "exp1-tasks-score-classes")
    assert (
        len(run.epochs) == 12
        and len([line for line in result.output.splitlines() if " s to go" in line]) == 12
    )
    for text in (
        "Exp 1 (score and classes only)",
        "Training mean",
        "Majority class",
    ):
        assert text in result.output


def test_without_a_row_it_is_the_default_model_and_refitted_rows_are_told_apart(aqa_train, tmp_path):
    result = aqa_train("--tasks", "score", "--exp", "default,baseline", "--validation-folds", 0)
    assert result.exit_code == 0, result.output
    assert folders(tmp_path) == ["baseline-tasks-score", "default-validation-folds-0-tasks-score"]
    assert "Trained on the validation samples too, unlike the other rows: Default model" in result.output
    assert "the reported model is trained once more, on all 12 labelled training samples" in result.output
    run = CliRunner().invoke(main, ["--help"])
    assert "--validate-on" in run.output and "--no-refit" in run.output


def test_copies_of_a_video_on_both_sides_are_an_error(aqa_train, path, tmp_path):
    """As in the audit, and where folds are drawn, copies are in the same one."""

    def apart(index, sample):
        return replace(sample, video=f"v{index}.mp4", start_frame=0, end_frame=100)

    write_synthetic_cache(path, change=apart, hashes=lambda index: "ab" * (index in (3, 14)))
    result = aqa_train("--tasks", "score")
    assert result.exit_code == 2
    assert "(1 with the same frames): s14 with s03" in result.output
    result = CliRunner().invoke(data, ["audit", str(path)])
    assert result.exit_code == 1 and "s14 with s03" in " ".join(result.output.split())
    result = aqa_train("--exp", "ridge", "--folds", "9", "--tasks", "score")
    assert result.exit_code == 0, result.output
    predictions = [folder / "predictions.csv" for folder in sorted((tmp_path / "runs").iterdir())]
    tested = [text for file in predictions if "s03,test" in (text := file.read_text())]
    assert len(predictions) == 9 and len(tested) == 1 and "s14,test" in tested[0]


def test_all_runs_the_eight_rows(aqa_train, tmp_path):
    result = aqa_train("--exp", "all", "--tasks", "score", "--encoder-hidden", 8)
    assert result.exit_code == 0, result.output
    folders = [
        f"{row.folder}{'-encoder-hidden-8' * (row.encoder == 'lstm')}-tasks-score"
        + ("-on-c3d" if row.backbone == "s3d" else "")
        for row in EXPERIMENTS.values()
    ]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(folders)
    assert result.output.count("no caption task") == 1


def test_a_row_on_other_features_says_so(aqa_train, path, tmp_path):
    write_synthetic_cache(path, backbone="s3d")
    result = aqa_train("--exp", "7", "--encoder", "average", "--tasks", "score")
    assert result.exit_code == 0, result.output
    assert "Exp 7 is a C3D row of Table 1, feats.h5 holds S3D features" in result.output
    assert (
        read_run(tmp_path / "runs" / "exp7-encoder-average-tasks-score-on-s3d").config["encoder"] == "average"
    )


def test_a_run_is_named_and_checked_by_the_tasks_that_have_labels(aqa_train, path, tmp_path):
    write_synthetic_cache(path, change=without("caption"))
    result = aqa_train("--exp", "1")
    assert result.exit_code == 0, result.output
    assert "Exp 1 (score and classes only): epoch 1/1" in result.output
    assert "task caption is left out" in result.output
    result = aqa_train("--exp", "1", "--tasks", "score,classes")
    assert result.exit_code == 2 and "exp1-tasks-score-classes: this run exists" in result.output


def test_test_samples_without_labels_are_said(aqa_train, path):
    write_synthetic_cache(path, change=without("final_score", "classes", splits=("test",)))
    result = aqa_train("--tasks", "score,classes")
    assert "no test sample has a final_score" in result.output
    assert "no test sample has a class in column 'twists'" in result.output


def test_views_are_all_drawn_from_unless_asked_otherwise(aqa_train, path, tmp_path):
    write_synthetic_cache(path, views={"flip": lambda index, plain: -plain})
    result = aqa_train("--tasks", "score")
    assert result.exit_code == 0 and "training draws one of the 2 views of every sample" in result.output
    result = aqa_train("--tasks", "score", "--views", "plain")
    assert (
        result.exit_code == 0
        and "only the plain one of the 2 views in feats.h5 is trained on" in result.output
    )
    configs = [
        read_run(tmp_path / "runs" / name).config
        for name in ("baseline-tasks-score", "baseline-plain-view-tasks-score")
    ]
    assert [config["views"] for config in configs] == ["all", "plain"]


def test_progress_is_about_ten_lines_where_there_is_no_terminal(aqa_train):
    lines = aqa_train("--epochs", 40, "--patience", 99, "--tasks", "score").output.splitlines()
    lines = [line for line in lines if "s to go" in line]
    assert len(lines) == 11 and all("validation Spearman" in line for line in lines)
    lines = aqa_train("--epochs", 40, "--tasks", "score", "--protocol", "paper").output.splitlines()
    lines = [line for line in lines if "s to go" in line]
    assert len(lines) == 11 and all("test Spearman" in line for line in lines)


def test_an_existing_run_is_refused_before_any_training(aqa_train, tmp_path):
    assert aqa_train("--exp", "7", "--tasks", "score").exit_code == 0
    result = aqa_train("--exp", "all", "--tasks", "score")
    assert result.exit_code == 2 and "exp7-tasks-score: this run exists; give --overwrite" in result.output
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["exp7-tasks-score"]
    assert aqa_train("--exp", "7", "--tasks", "score", "--overwrite").exit_code == 0


def test_an_existing_run_on_features_of_a_tuned_backbone_is_refused_before_any_training(
    aqa_train, path, tmp_path
):
    write_synthetic_cache(path, weights="exp2-end-to-end", tuned=tuned_on(0, 1))
    first = aqa_train("--exp", "1", "--tasks", "score")
    assert first.exit_code == 0 and "features tuned in exp2-end-to-end" in first.output
    again = aqa_train("--exp", "6,1", "--tasks", "score")
    assert again.exit_code == 2 and f"{folders(tmp_path)[0]}: this run exists" in again.output
    assert len(folders(tmp_path)) == 1


def nan_feature(path):
    write_synthetic_cache(path)
    with h5py.File(path, "r+") as file:
        file["features"][0, 0] = np.nan


@pytest.mark.parametrize(
    "spoil, message",
    [
        (nan_feature, "s00: the feature of clip 0 in feats.h5 is not finite"),
        (lambda path: path.write_bytes(b"not hdf5"), "is not an HDF5 file"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: write_synthetic_cache(path, train=1), "at least 3 and 2; give more training samples"),
        (
            lambda path: write_synthetic_cache(path, train=0),
            "no sample with features has split 'train'",
        ),
        (
            lambda path: write_synthetic_cache(path, change=without("final_score", "classes", "caption")),
            "has a label for score",
        ),
        (
            lambda path: write_synthetic_cache(
                path, change=lambda index, sample: replace(sample, final_score=1.0)
            ),
            "give --score-scale",
        ),
    ],
)
def test_a_cache_that_cannot_be_trained_with_is_one_message(aqa_train, path, tmp_path, spoil, message):
    spoil(path)
    result = aqa_train()
    assert result.exit_code == 2 and message in result.output and result.output.startswith("Error: ")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--exp", "8"), "--exp: '8' is not known; give any of baseline, 1,"),
        (("--exp", "1,exp2"), "--exp: 'exp2' is not known"),
        (("--exp", ","), "--exp: is empty"),
        (("--folds", "x"), "folds is 'x', expected a whole number from 2 on, or official"),
        (("--folds", "40"), "folds is 40, expected a whole number from 2 to 18"),
        (("--folds", "official"), "the column fold of the annotations names 0 fold(s)"),
        (("--resume", "--overwrite"), "overwrite and resume are both asked for"),
        (("--vocabulary", "nowhere.json"), "nowhere.json: cannot be read: No such file"),
        (("--encoder", "transformer", "--encoder-hidden", "10"), "expected a multiple of 8"),
        (("--pretrain-epochs", "3"), "only lstm and gru can be trained as an autoencoder"),
        (("--tasks", "score,captions"), "unknown task 'captions'; give any of score, classes, caption"),
        (("--tasks", ","), "no task was asked for"),
        (("--views", "flip"), "'flip' is not one of 'all', 'plain'"),
        (("--layers", "0"), "0 is not in the range x>=1"),
        (("--lr", "nan"), "lr is nan"),
        (("--lr", "1e30", "--tasks", "score"), "training diverged"),
        (("--device", "gpu"), "device 'gpu' cannot be used"),
        (("--score-scale", "0"), "0.0 is not in the range x>0"),
        (("--score-range", "100"), "score_range is 100.0, expected the lowest and the highest score"),
        (("--score-range", "0,1"), "beyond score_range, 0 to 1"),
    ],
)
def test_wrong_usage_is_one_message(aqa_train, arguments, message):
    result = aqa_train(*arguments)
    assert result.exit_code == 2 and message in result.output
    assert isinstance(result.exception, SystemExit)


def test_a_run_folder_that_cannot_be_written_is_one_message(aqa_train, tmp_path):
    (tmp_path / "runs").write_text("a file")
    result = aqa_train("--tasks", "score")
    assert result.exit_code == 2 and "cannot be made" in result.output


def test_help_ends_in_an_example_and_needs_no_torch():
    result = CliRunner().invoke(main, ["--help"])
    _, _, examples = result.output.partition("Example:")
    assert [line.split()[:3] for line in examples.strip().splitlines()] == [
        ["aqa-train", "--features", "feats.h5"]
    ] * 6


def folders(tmp_path):
    return sorted(path.name for path in (tmp_path / "runs").iterdir())


def row_of(output, label):
    return next(line for line in output.splitlines() if "│" in line and label in line)


def test_a_list_of_rows_and_references_is_trained_in_its_order_and_shown_in_the_papers(aqa_train, tmp_path):
    result = aqa_train("--exp", "6, ridge,1,6", "--tasks", "score")
    assert result.exit_code == 0, result.output
    assert folders(tmp_path) == ["exp1-tasks-score", "exp6-tasks-score", "ridge"]
    assert result.output.rstrip().endswith("runs: exp6-tasks-score, ridge, exp1-tasks-score")
    table = [line.split("│")[1].split()[0:2] for line in result.output.splitlines() if line.startswith("│")]
    assert [["Exp", "1"], ["Exp", "6"], ["Ridge"]] == [
        [word for word in words if word != "(score"] for words in table[:3]
    ]
    result = aqa_train("--exp", "references")
    assert result.exit_code == 2 and "ridge: this run exists" in result.output


def test_seeds_are_runs_and_the_table_has_their_mean_and_deviation(aqa_train, tmp_path):
    result = aqa_train("--tasks", "score", "--seed", 5, "--seeds", 3, "--no-ridge-start", "--lr", 0.01)
    assert result.exit_code == 0, result.output
    names = [f"baseline-no-ridge-start-tasks-score-seed{seed}" for seed in (5, 6, 7)]
    assert folders(tmp_path) == names
    rho = [read_run(tmp_path / "runs" / name).summary["spearman"] for name in names]
    assert f"{np.mean(rho):.3f} ± {np.std(rho, ddof=1):.3f}" in row_of(result.output, "Baseline")
    assert "over seeds" in " ".join(result.output.split()) and "[3/3] Baseline" in result.output


def test_the_deviation_is_over_experiments_of_one_label_alone(aqa_train):
    result = aqa_train("--tasks", "score", "--exp", "baseline,ridge", "--seeds", 2)
    assert result.exit_code == 0, result.output
    assert row_of(result.output, "Baseline").count("±") == row_of(result.output, "Ridge").count("±") == 2
    alone = aqa_train("--tasks", "score", "--exp", "1")
    assert "±" not in alone.output


def test_folds_are_runs_whose_test_sets_part_the_samples(aqa_train, path, tmp_path):
    write_synthetic_cache(path, change=without("split"))
    result = aqa_train("--tasks", "score", "--folds", 3, "--validation", 0.4)
    assert result.exit_code == 0, result.output
    assert folders(tmp_path) == [f"baseline-tasks-score-fold-{number}-3" for number in (1, 2, 3)]
    tested, groups = [], []
    for name in folders(tmp_path):
        rows = read_run(tmp_path / "runs" / name).predictions
        assert len(rows) == 18
        test = [row for row in rows if row["split"] == "test"]
        tested += [row["sample_id"] for row in test]
        groups.append({row["group"] for row in test})
        assert not groups[-1] & {row["group"] for row in rows if row["split"] != "test"}
    assert sorted(tested) == [f"s{index:02d}" for index in range(18)]
    assert "over folds" in " ".join(result.output.split()) and "fold 3/3" in result.output


def test_official_folds_are_those_of_the_annotations(aqa_train, path, tmp_path):
    names = ("day 1", "day 2", "day 10")
    write_synthetic_cache(path, change=lambda index, sample: replace(sample, fold=names[index % 3]))
    result = aqa_train("--tasks", "score", "--folds", "official", "--validation", 0.4)
    assert result.exit_code == 0, result.output
    for number, name in enumerate(names):
        run = read_run(tmp_path / "runs" / f"baseline-tasks-score-fold-{name.replace(' ', '-')}")
        test = [row["sample_id"] for row in run.predictions if row["split"] == "test"]
        assert test == [f"s{index:02d}" for index in range(number, 18, 3)] and run.config["fold"] == name
    lines = [line for line in result.output.splitlines() if "epoch 1/1" in line]
    assert [line.split(":")[0][-6:] for line in lines] == [
        "day 1",
        "day 2",
        "day 10",
    ] or "fold day 10" in lines[-1]


def test_seeds_and_folds_multiply(aqa_train, path, tmp_path):
    result = aqa_train("--tasks", "score", "--folds", 2, "--seeds", 2, "--validation", 0.4)
    assert (
        result.exit_code == 0
        and len(folders(tmp_path)) == 4
        and "over seeds" in " ".join(result.output.split())
    )


def test_literal_rows_are_named_so(aqa_train, path, tmp_path):
    result = aqa_train("--exp", "4,7", "--literal", "--tasks", "score")
    assert result.exit_code == 0, result.output
    assert folders(tmp_path) == ["exp4-literal-tasks-score", "exp7-literal-tasks-score"]
    assert "residual" not in result.output and "wide" not in result.output


def test_leaks_are_one_message_and_marked_on_request(aqa_train, path):
    def change(index, sample):
        return replace(sample, video="v0.mp4", start_frame=10, end_frame=90) if index in (0, 15) else sample

    write_synthetic_cache(path, change=change)
    result = aqa_train("--tasks", "score")
    assert result.exit_code == 2 and "s15 with s00" in result.output and "--allow-leak" in result.output
    result = aqa_train("--tasks", "score", "--allow-leak")
    assert result.exit_code == 0 and "LEAKED TEST" in row_of(result.output, "Baseline")


def interrupt_at(epoch):
    def stop(lines, reached):
        if reached.epoch == epoch:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize(
    "experiments, said",
    [
        ("1", "Stopped before the first checkpoint (every 60 s or more): there is nothing to go on from."),
        (
            "1,6",
            (
                "with --resume to go on: the run that was under way begins again, as it had no checkpoint"
                " yet, finished runs"
            ),
        ),
    ],
)
def test_ctrl_c_says_that_there_is_no_checkpoint(aqa_train, monkeypatch, experiments, said):
    monkeypatch.setattr("aqa_cli.train_progress.Lines.epoch", interrupt_at(1))
    result = aqa_train("--tasks", "score", "--exp", experiments)
    assert result.exit_code == 130 and said in result.stderr


def test_ctrl_c_names_resume_in_the_place_of_overwrite(aqa_train, monkeypatch):
    monkeypatch.setattr("aqa_cli.train_progress.Lines.epoch", interrupt_at(2))
    result = aqa_train("--tasks", "score", "--epochs", 2, "--checkpoint-seconds", 0, "--overwrite")
    assert result.exit_code == 130 and "with --resume instead of --overwrite to go on" in result.stderr


def test_ctrl_c_says_how_to_go_on(aqa_train, tmp_path, monkeypatch):
    options = ("--tasks", "score", "--epochs", 5, "--checkpoint-seconds", 0)
    with monkeypatch.context() as patch:
        patch.setattr("aqa_cli.train_progress.Lines.epoch", interrupt_at(3))
        result = aqa_train(*options)
    assert result.exit_code == 130
    assert "with --resume to go on: baseline-tasks-score after the last checkpoint." in result.stderr
    result = aqa_train(*options)
    assert (
        result.exit_code == 2
        and "baseline-tasks-score: a run of this name was interrupted; give --resume" in result.output
    )
    result = aqa_train(*options, "--resume")
    assert result.exit_code == 0 and "goes on after epoch 2" in result.output and "epoch 3/5" in result.output
    assert len(read_run(tmp_path / "runs" / "baseline-tasks-score").epochs) == 5
    again = aqa_train(*options, "--resume")
    assert again.exit_code == 0 and "is finished already" in again.output


def test_resuming_a_list_keeps_what_is_finished_and_trains_the_rest(aqa_train, tmp_path):
    assert aqa_train("--exp", "1", "--tasks", "score").exit_code == 0
    before = (tmp_path / "runs" / "exp1-tasks-score" / "summary.json").stat().st_mtime_ns
    result = aqa_train("--exp", "1,6", "--tasks", "score", "--resume")
    assert result.exit_code == 0, result.output
    assert folders(tmp_path) == ["exp1-tasks-score", "exp6-tasks-score"]
    assert (tmp_path / "runs" / "exp1-tasks-score" / "summary.json").stat().st_mtime_ns == before
    other = aqa_train("--exp", "1,6", "--tasks", "score", "--resume", "--lr", 0.5)
    assert other.exit_code == 2 and "lr was 0.0001, is 0.5" in other.output


def test_the_table_says_which_epoch_is_reported(aqa_train):
    assert "epoch chosen on held-out samples" in aqa_train("--tasks", "score").output
    assert "after the last epoch" in aqa_train("--tasks", "score", "--protocol", "paper").output


def test_without_test_samples_the_table_is_empty_and_says_why(aqa_train, path):
    write_synthetic_cache(path, test=0)
    result = aqa_train("--tasks", "score,classes")
    assert result.exit_code == 0 and "no sample has split test: trained without test metrics" in result.output
    assert "–" in row_of(result.output, "Baseline")


def test_a_reference_says_which_options_are_not_for_it(aqa_train):
    result = aqa_train("--exp", "1,ridge", "--tasks", "score", "--rnn", "lstm")
    assert result.exit_code == 0 and "Ridge has no rnn: given for the other rows" in result.stderr


@pytest.fixture
def fine_tune_cached(monkeypatch):
    """Trains on the cached features where the backbone was to be trained, which takes videos."""
    from aqa_heads.training.run import train

    def fine_tune_planned(plan, cache, listener):
        config = replace(plan.config.asked, fine_tuning=None)
        return train(config, on_epoch=listener.on_epoch)

    monkeypatch.setattr("aqa_heads.end_to_end.run.fine_tune_planned", fine_tune_planned)


def test_the_last_line_of_an_end_to_end_command_says_what_comes_next(aqa_train, tmp_path, fine_tune_cached):
    result = aqa_train("--exp", "1,6", "--tasks", "score", "--end-to-end", "--videos", "my videos")
    assert result.exit_code == 0, result.output
    *_, written, last = result.stdout.splitlines()
    folder = tmp_path / "runs" / "exp1-tasks-score"
    assert last == f"Features of the trained backbone: aqa-extract --weights {folder} 'my videos' tuned.h5"
    assert written.startswith("Written to ") and "Features of the" not in aqa_train("--tasks", "score").stdout


def test_of_several_processes_the_first_speaks(aqa_train, path, tmp_path, monkeypatch, fine_tune_cached):
    """The others are ended by torchrun while they wait."""
    for module in ("errors", "end_to_end_options"):
        monkeypatch.setattr(f"aqa_cli.{module}.let_the_first_speak", lambda: sys.exit(2))
    end_to_end = ("--tasks", "score", "--end-to-end", "--videos", "videos")
    (tmp_path / "runs" / "baseline-end-to-end-tasks-score").mkdir(parents=True)
    (tmp_path / "runs" / "baseline-end-to-end-tasks-score" / "summary.json").write_text("{}")
    for arguments, said in (
        (end_to_end, "baseline-end-to-end-tasks-score: this run exists"),
        (("--augment", "none"), "--augment is only for --end-to-end"),
        ((*end_to_end, "--augment", "rotate"), "augment: unknown view 'rotate'"),
        ((*end_to_end, "--precision", "half"), "'half' is not one of"),
        ((*end_to_end, "--exp", "9"), "--exp: '9' is not known"),
        (("--tasks", "score"), "2 processes were started"),
    ):
        for rank in "01":
            monkeypatch.setenv("RANK", rank)
            monkeypatch.setenv("WORLD_SIZE", "2")
            result = aqa_train(*arguments)
            assert result.exit_code == 2 and isinstance(result.exception, SystemExit), (
                arguments,
                result.output,
            )
            assert said in result.output if rank == "0" else result.output == "", (arguments, result.output)
    monkeypatch.setenv("RANK", "1")
    result = aqa_train(*end_to_end, "--overwrite")
    assert result.exit_code == 0 and result.output == ""


def test_a_process_speaks_where_the_first_had_nothing_to_say(aqa_train, monkeypatch, tmp_path):
    monkeypatch.setattr("aqa_cli.torchrun._PATIENCE", 0)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = aqa_train("--end-to-end", "--videos", "videos", "--device", "cpu", "--exp", "9")
    assert result.exit_code == 2 and "Error: --exp: '9' is not known" in result.output


@pytest.mark.parametrize(
    "said", ["RANK=5 WORLD_SIZE=2", "RANK=0 WORLD_SIZE=0", "RANK=1", "WORLD_SIZE=2", "RANK=² WORLD_SIZE=2"]
)
def test_numbers_of_processes_that_cannot_be_are_one_message(aqa_train, monkeypatch, said):
    for name, value in (word.split("=") for word in said.split()):
        monkeypatch.setenv(name, value)
    result = aqa_train("--exp", "ridge")
    assert result.exit_code == 2
    assert result.output.count("\n") == 1 and f"says {said.replace(' ', ', ')}, expected" in result.output


def test_a_warm_start_is_of_one_row(aqa_train):
    result = aqa_train("--exp", "1,2", "--end-to-end", "--videos", "videos", "--warm-start", "runs/exp1")
    assert (
        result.exit_code == 2
        and "--warm-start is a run of one row, but --exp asks for 2 (1, 2)" in result.output
    )


def test_own_data_hears_nothing_of_the_paper(aqa_train, path):
    """Scores alone, on features that are none of Table 1's: nothing is said of it. Who asks for a row hears
    once that it is not the paper's.
    """

    def own(index, sample):
        return replace(sample, caption=None, classes={}, difficulty=None, group=None, split=None)

    write_synthetic_cache(path, test=0, backbone="i3d", change=own)
    result = CliRunner().invoke(
        main, ["--features", str(path), "--epochs", "1", "--out", str(path.parent / "r")]
    )
    assert result.exit_code == 0, result.output
    assert not [
        word
        for word in ("Table 1", "paper", "Baseline", "Exp ", "C3D", "mean accuracy")
        if word in result.output
    ]
    assert result.output.count("captioner") == 0 and "Default model (score only)" in result.output
    asked = aqa_train("--out", path.parent / "asked", "--folds", 2, "--protocol", "paper")
    assert asked.output.count("is not the paper's Baseline") == 1, asked.output
