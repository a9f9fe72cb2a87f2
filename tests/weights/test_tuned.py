import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numbered_video import write_numbered_video
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from aqa_cache.backbones.registry import get_backbone
from aqa_cache.cache_file.feature_spec import Learned
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.preprocess import MTL_AQA
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import AqaError, WeightsError
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cache.weights.resolving import Weights, load_weights, resolve_weights
from aqa_cache.weights.tuned import TunedBackbone, read_tuned_backbone, write_tuned_backbone
from aqa_cli.extract import main as aqa_extract

RULE = ClipRule(clip_stride=8, window=32)
RECORD = TunedBackbone(
    "s3d",
    MTL_AQA.at_size(32),
    {**RULE.record(), "stream": None},
    "random (seed 0)",
    "ab" * 32,
    trained_on=("a", "b"),
    chosen_on=("c",),
)
MADE_FROM = RECORD.preprocessing.record()


@pytest.fixture(scope="module")
def tuned(random_s3d):
    """An S3D that is not the random one any more, batch statistics included."""
    module = get_backbone("s3d").build()
    module.load_state_dict(
        {key: tensor * 1.01 for key, tensor in load_file(random_s3d).items()}, strict=False
    )
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory, tuned):
    """The folder of a run that fine-tuned it."""
    folder = tmp_path_factory.mktemp("runs") / "exp2"
    folder.mkdir()
    (folder / "summary.json").write_text("{}")
    write_tuned_backbone(folder, tuned, RECORD)
    return folder


@pytest.fixture(scope="module")
def dives(tmp_path_factory):
    """A video of 56 frames."""
    folder = tmp_path_factory.mktemp("dives")
    write_numbered_video(folder / "a.mp4", 56)
    return folder


def test_what_is_written_is_read_back_to_the_bit(run, tuned):
    assert read_tuned_backbone(run) == read_tuned_backbone(str(run / "backbone.safetensors")) == RECORD
    weights = resolve_weights("s3d", str(run))
    assert (weights.name, weights.tuned, weights.preprocessing) == ("exp2", RECORD, RECORD.preprocessing)
    assert resolve_weights("s3d", str(run / "backbone.safetensors")) == weights
    module = get_backbone("s3d").build()
    load_weights(module, "s3d", weights)
    loaded, expected = module.state_dict(), tuned.state_dict()
    assert loaded.keys() == expected.keys() and all(
        torch.equal(loaded[key], expected[key]) for key in expected
    )


@pytest.mark.parametrize("starts", [None, (0, 10)])
def test_every_clip_rule_comes_back(tmp_path, starts):
    rule = ClipRule(frame_step=2, clip_starts=starts)
    record = replace(RECORD, clip_rule={**rule.record(), "stream": 1}, started_from="Grüße.pth")
    write_tuned_backbone(tmp_path, nn.Linear(1, 1), record)
    assert read_tuned_backbone(tmp_path) == record


class Wrapper(nn.Module):
    """Names that training wrappers use, weights that share memory, and other layouts and types of number."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv3d(3, 3, 2, dtype=torch.float64).to(memory_format=torch.channels_last_3d)
        self.tied = self.backbone
        self.register_buffer("count", torch.tensor(2**40 + 1))


def test_any_module_is_written_as_float32_and_left_as_it_is(tmp_path):
    module = Wrapper()
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    path = write_tuned_backbone(tmp_path, module, RECORD)
    written = load_file(path)
    assert written.keys() == before.keys() and written["count"] == 2**40 + 1
    for name in ("backbone", "tied"):
        assert torch.equal(written[f"{name}.weight"], before["backbone.weight"].float())
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())
    assert module.backbone.weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_what_was_learned_before_is_known_of_the_next_backbone(run, tmp_path):
    assert RECORD.origin == "random (seed 0)"
    weights = resolve_weights("s3d", str(run))
    assert weights.random
    assert weights.learned == Learned("random (seed 0)", "random (seed 0)", ("a", "b"), ("c",))
    after = weights.fine_tuned("s3d", RECORD.preprocessing, RECORD.clip_rule, ["d", "b"], ["a"])
    assert (after.started_from, after.started_sha256, after.origin) == (
        "exp2",
        weights.sha256,
        "random (seed 0)",
    )
    assert (after.trained_on, after.chosen_on) == (("a", "b", "d"), ("a", "c"))
    write_tuned_backbone(tmp_path, nn.Linear(1, 1), after)
    assert read_tuned_backbone(tmp_path) == after
    plain = Weights("s3d-kinetics400", tmp_path, "ef" * 32, MTL_AQA)
    assert not plain.random and plain.learned is None
    first = plain.fine_tuned("s3d", RECORD.preprocessing, RECORD.clip_rule, ["d"], [])
    assert (first.started_from, first.origin) == ("s3d-kinetics400", "s3d-kinetics400")
    assert (first.trained_on, first.chosen_on) == (("d",), ())


def test_equal_backbones_give_equal_files(tmp_path, run, tuned):
    write_tuned_backbone(tmp_path, tuned, RECORD)
    assert (tmp_path / "backbone.safetensors").read_bytes() == (run / "backbone.safetensors").read_bytes()


def features(path):
    with FeatureCache(path) as cache:
        return cache.spec, cache.clips(0).first_frame.tolist(), cache.features(0)


CONFIG = ExtractionConfig(clip_rule=RULE, batch_size=4, workers=1)


def test_a_run_extracts_as_a_plain_file_of_the_same_weights(run, dives, tmp_path, said):
    save_file(load_file(run / "backbone.safetensors"), tmp_path / "plain.safetensors")
    plain = replace(CONFIG, weights=str(tmp_path / "plain.safetensors"), preprocess="mtl-aqa", size=32)
    extract(dives, tmp_path / "run.h5", replace(CONFIG, weights=str(run)))
    extract(dives, tmp_path / "plain.h5", plain)
    (spec, firsts, mine), (other, _, theirs) = (
        features(tmp_path / "run.h5"),
        features(tmp_path / "plain.h5"),
    )
    np.testing.assert_array_equal(mine, theirs)
    assert firsts == [24, 32, 40] and spec.weights == "exp2"
    assert spec.preprocessing == other.preprocessing == RECORD.preprocessing.record()
    assert [line.split(":")[0] for line in spec.differences(other)] == ["weights_sha256"]
    assert spec.tuned == RECORD.learned and spec.tuned_in == "exp2" and other.tuned is None
    assert not any("fine-tuned" in line for line in said)  # the same input: nothing to say


def test_other_input_than_in_the_fine_tuning_is_said(run, dives, tmp_path, said):
    config = replace(CONFIG, weights=str(run), clip_rule=ClipRule(clip_stride=8), size=48)
    extract(dives, tmp_path / "feats.h5", config)
    assert (
        "The backbone of exp2 was fine-tuned on other input than it gets now: resize [37, 49], now [56, 74];"
        " crop 32, now 48; window 32, now None." in said
    )


def command(*arguments):
    return CliRunner().invoke(aqa_extract, [str(argument) for argument in arguments])


def test_the_command_takes_from_the_run_what_is_not_given(run, dives, tmp_path):
    result = command("--weights", run, "--batch-size", 4, dives, tmp_path / "command.h5")
    assert result.exit_code == 0, result.output
    assert (
        f"Not given, so as in the fine-tuning of {run}: --backbone s3d --size 32 --clip-len 16 --clip-stride"
        " 8 --frame-step 1 --window 32\n" in result.stderr
    )
    assert "other input" not in result.stderr
    extract(dives, tmp_path / "python.h5", replace(CONFIG, weights=str(run)))
    (spec, _, mine), (other, _, theirs) = (
        features(tmp_path / "command.h5"),
        features(tmp_path / "python.h5"),
    )
    assert spec == other
    np.testing.assert_array_equal(mine, theirs)


def test_what_is_given_wins_and_the_difference_is_said(run, dives, tmp_path):
    options = ("--preprocess", "mtl-aqa", "--size", 48, "--window", "all", "--clip-starts", "0,20")
    result = command("--weights", run, *options, dives, tmp_path / "feats.h5")
    assert result.exit_code == 0, result.output
    assert f"as in the fine-tuning of {run}: --backbone s3d --clip-len 16 --frame-step 1\n" in result.stderr
    assert (
        "crop 32, now 48; clip_stride 8, now None; window 32, now None; clip_starts None, now [0, 20]."
        in result.stderr
    )
    spec, firsts, _ = features(tmp_path / "feats.h5")
    assert firsts == [0, 20] and spec.preprocessing["crop"] == 48


def test_a_stride_that_is_given_replaces_the_starts_of_the_run(tuned, dives, tmp_path):
    rule = ClipRule(clip_len=14, clip_starts=(0, 3))
    write_tuned_backbone(tmp_path, tuned, replace(RECORD, clip_rule={**rule.record(), "stream": 0}))
    result = command("--weights", tmp_path, dives, tmp_path / "starts.h5")
    assert "--clip-len 14 --clip-starts 0,3 --frame-step 1 --stream 0\n" in result.stderr
    assert features(tmp_path / "starts.h5")[1] == [0, 3]
    command("--weights", tmp_path, "--clip-stride", "20", dives, tmp_path / "stride.h5")
    assert features(tmp_path / "stride.h5")[1] == [0, 20, 40]


def _rewritten(folder, change):
    """The run's file with other metadata."""
    path = folder / "backbone.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, change(metadata))


def _record(**changes):
    return lambda metadata: {"tuned_backbone": json.dumps(json.loads(metadata["tuned_backbone"]) | changes)}


def _without(name):
    def change(metadata):
        record = json.loads(metadata["tuned_backbone"])
        del record[name]
        return {"tuned_backbone": json.dumps(record)}

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "backbone.safetensors").unlink(),
            "this run trained heads on cached features and no backbone",
        ),
        (
            lambda folder: [path.unlink() for path in folder.iterdir()],
            "is a folder without backbone.safetensors; expected a file",
        ),
        (
            lambda folder: (folder / "backbone.safetensors").write_bytes(b"\x40"),
            "cannot be read as safetensors",
        ),
        (lambda folder: _rewritten(folder, lambda old: None), "does not say what it was fine-tuned on"),
        (
            lambda folder: _rewritten(folder, lambda old: {"tuned_backbone": "{"}),
            "is damaged (Expecting property name",
        ),
        (lambda folder: _rewritten(folder, lambda old: {"tuned_backbone": "[]"}), "is damaged ("),
        (lambda folder: _rewritten(folder, _record(version=2)), "was written by a newer version"),
        (lambda folder: _rewritten(folder, _record(more=1)), "is damaged ("),
        (
            lambda folder: _rewritten(folder, _record(preprocessing={})),
            "is damaged (a preprocessing has the keys none",
        ),
        (lambda folder: _rewritten(folder, _record(preprocessing=None)), "is damaged ("),
        (
            lambda folder: _rewritten(folder, _record(preprocessing={**MADE_FROM, "resize": 0})),
            "is damaged (preprocessing: resize is 0, expected 1 to 8192 pixels",
        ),
        (lambda folder: _rewritten(folder, _record(version="1")), "is damaged (version is '1'"),
        (lambda folder: _rewritten(folder, _record(clip_rule={"clip_len": 16})), "is damaged ("),
        (lambda folder: _rewritten(folder, _record(clip_rule=RULE.record())), "is damaged ("),
        (lambda folder: _rewritten(folder, _record(backbone=3)), "is damaged (backbone is 3, expected text)"),
        (
            lambda folder: _rewritten(folder, _record(trained_on="a")),
            "is damaged (trained_on is no list of sample_ids)",
        ),
        (
            lambda folder: _rewritten(folder, _record(chosen_on=[1])),
            "is damaged (chosen_on is no list of sample_ids)",
        ),
        (lambda folder: _rewritten(folder, _without("trained_on")), "is damaged ('trained_on')"),
        (
            lambda folder: _rewritten(folder, _record(backbone="resnet")),
            "the backbone 'resnet' is not known here",
        ),
        (
            lambda folder: save_file(
                {"x": torch.zeros(1)}, folder / "backbone.safetensors", {"tuned_backbone": _text()}
            ),
            "1 unknown (x)",
        ),
    ],
)
def test_a_run_that_cannot_be_used_gives_one_message(run, dives, tmp_path, damage, message):
    folder = tmp_path / "exp2"
    folder.mkdir()
    for path in run.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    damage(folder)
    result = command("--weights", folder, dives, tmp_path / "feats.h5")
    assert result.exit_code == 2
    errors = result.stderr[result.stderr.index("Error: ") :]
    assert message in errors and errors.count("\n") == 1 and "Traceback" not in result.output
    assert not (tmp_path / "feats.h5").exists()


def _text():
    record = asdict(RECORD) | {"preprocessing": RECORD.preprocessing.record(), "version": 1}
    return json.dumps(record)


def test_another_backbone_than_asked_for(run, dives, tmp_path):
    result = command("--weights", run, "--backbone", "c3d", dives, tmp_path / "feats.h5")
    assert result.exit_code == 2
    assert (
        f"Error: {run}: its backbone is s3d, not c3d; give --backbone s3d, or other weights\n"
        in result.stderr
    )


def test_other_weights_are_not_taken_for_fine_tuned_ones(tmp_path, random_s3d):
    assert read_tuned_backbone(random_s3d) is None
    assert read_tuned_backbone(tmp_path / "nothing") is None
    (tmp_path / "weights.pth").write_bytes(b"")
    assert read_tuned_backbone(tmp_path / "weights.pth") is None
    with pytest.raises(WeightsError, match="is a folder without backbone.safetensors"):
        read_tuned_backbone(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(AqaError, match="cannot be written"):
        write_tuned_backbone(tmp_path / "no", nn.Linear(1, 1), RECORD)
