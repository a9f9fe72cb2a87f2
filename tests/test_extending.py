"""docs/extending.md, run."""

import json
import re
import shlex
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numbered_video import write_numbered_video
from places import ROOT
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache import FeatureCache, Sample, read_annotations, write_annotations
from aqa_cache.backbones.key_layouts import LAYOUTS
from aqa_cache.backbones.names import KNOWN_BACKBONES
from aqa_cache.backbones.registry import BACKBONES, get_backbone
from aqa_cache.clips.preprocess import FramePreparer, normalise
from aqa_cache.clips.rule import ClipRule
from aqa_cache.video.decoding import decode
from aqa_cache.weights.tuned import TunedBackbone, write_tuned_backbone
from aqa_cli.data import data
from aqa_cli.extract import main as extract
from aqa_cli.train import main as train
from aqa_heads import predict, read_run

COMMANDS = {"aqa-train": train, "aqa-extract": extract, "aqa-data": data}
QUICK = "--epochs 2 --tasks score --threads 1 --device cpu --no-meteor".split()
SECTIONS = dict(
    re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", (ROOT / "docs/extending.md").read_text(), re.S | re.M)
)


@pytest.fixture
def section(own_code):
    """Write the file of a section; gives its commands, in words."""

    def write(title):
        for name, code in re.findall(r"```python\n# (\w+)\.py\n(.*?)```", SECTIONS[title], re.S):
            own_code(name, code)
        return [shlex.split(command) for command in re.findall(r"```sh\n(.*?)\n```", SECTIONS[title], re.S)]

    return write


def run(words, *further):
    result = CliRunner().invoke(COMMANDS[words[0]], [*words[1:], *further])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A score head", "default-score-head-my_head-laplacehead-tasks-score"),
        ("An encoder", "default-encoder-my_encoder-maxencoder-encoder-hidden-16-tasks-score"),
        ("A loss", "default-loss-my_loss-order-loss-weight-0.5-tasks-score"),
    ],
)
def test_what_is_trained_with(section, tmp_path, title, name):
    command, *_ = section(title)
    write_synthetic_cache(tmp_path / "feats.h5")
    with small_models():
        run(command, *QUICK)
        trained = read_run(tmp_path / "runs" / name)
        model = trained.load_model()
    assert trained.config["lr"] == (1e-3 if title == "A score head" else 1e-4)
    with FeatureCache("feats.h5") as cache:
        clips = [torch.from_numpy(cache.features(index)) for index in range(len(cache))]
    together = predict(model, clips)
    assert (together.spread is not None) == (title == "A score head")
    alone = [predict(model, [sample]).score[0] for sample in clips]
    np.testing.assert_allclose(together.score, alone, rtol=1e-5)  # padding changes nothing


def test_the_test_of_an_encoder_finds_one_that_reads_padding(section, monkeypatch):
    section("An encoder")
    monkeypatch.setattr(sys, "path", [".", *sys.path])
    import my_encoder
    from test_my_encoder import test_padding_changes_nothing as test

    test()
    monkeypatch.setattr(
        my_encoder.MaxEncoder, "forward", lambda self, features, _: self.layer(features).mean(1)
    )
    with pytest.raises(AssertionError, match="not close"):
        test()


def test_a_backbone(section, tmp_path, monkeypatch):
    ((*command,),) = section("A backbone")
    (tmp_path / "videos").mkdir()
    write_numbered_video(tmp_path / "videos" / "one.mp4", 40)
    monkeypatch.syspath_prepend(tmp_path)
    import my_backbone

    module = my_backbone.build().eval()
    torch.save(module.state_dict(), "mine.pth")
    run(command, "--device", "cpu")
    preprocessing = my_backbone.NETWORK.preprocessing
    prepare = FramePreparer(preprocessing)
    frames = torch.from_numpy(np.stack([prepare(frame.rgb()) for frame in decode("videos/one.mp4")]))
    with torch.no_grad():
        clips = torch.stack([frames[:16], frames[16:32], frames[24:]])  # the last one ends with the video
        expected = module(normalise(clips, preprocessing))
    with FeatureCache("own.h5") as cache:
        features = cache.features(0)
        assert (cache.spec.backbone, cache.spec.weights) == ("my_backbone:NETWORK", "mine.pth")
    np.testing.assert_allclose(features, expected.numpy(), rtol=2e-3, atol=1e-3 * expected.abs().max().item())
    assert get_backbone("my_backbone:NETWORK").name == "my_backbone:NETWORK"


def test_whoever_reads_what_an_own_backbone_made_gives_the_option_again(section, tmp_path):
    ((*command,),) = section("A backbone")
    (tmp_path / "videos").mkdir()
    write_numbered_video(tmp_path / "videos" / "one.mp4", 96)
    samples = [
        Sample(f"s{k}", "one.mp4", 16 * k, 16 * k + 16, "test" if k == 5 else "train", final_score=10.0 * k)
        for k in range(6)
    ]
    write_annotations(tmp_path / "videos" / "annotations.csv", samples)
    run([*command[:4], "random", "videos/", "own.h5", "--device", "cpu"])
    name, preprocessing = "my_backbone:NETWORK", get_backbone("my_backbone:NETWORK").preprocessing
    rule = {**ClipRule().record(), "stream": None}
    (tmp_path / "tuned").mkdir()
    tuned = TunedBackbone(name, preprocessing, rule, "random (seed 0)", "ab")
    write_tuned_backbone(tmp_path / "tuned", get_backbone(name).build(), tuned)
    further = "aqa-extract --weights tuned videos/ again.h5".split()
    train_on = [
        "aqa-train",
        *"--features own.h5 --exp baseline --end-to-end --videos videos/ --protocol paper".split(),
        *QUICK,
    ]
    for known in (KNOWN_BACKBONES.registered, BACKBONES, LAYOUTS):
        del known[name]
    for words in (further, train_on):
        result = CliRunner().invoke(COMMANDS[words[0]], words[1:])
        assert result.exit_code == 2 and f"give --backbone {name} again" in result.output
    assert not KNOWN_BACKBONES.knows(name)
    run([*further, "--backbone", name])
    with FeatureCache("again.h5") as cache:
        assert (cache.spec.backbone, cache.spec.weights) == (name, "tuned")
    with small_models():
        run([*train_on, "--backbone", name])
    (folder,) = (tmp_path / "runs").iterdir()
    assert "on-my_backbone-network" in folder.name
    assert read_run(folder).config["features"]["backbone"] == name


def test_a_dataset(section, tmp_path):
    ((*command,),) = section("A dataset")
    rows = [{"clip": "a.mp4", "from": 0, "to": 80, "total": 71.5, "part": "train"}]
    (tmp_path / "release.json").write_text(json.dumps(rows))
    run(command)
    (sample,) = read_annotations("annotations.csv")
    assert (sample.sample_id, sample.end_frame, sample.final_score, sample.split) == (
        "a.mp4-0",
        80,
        71.5,
        "train",
    )
    assert CliRunner().invoke(data, command[1:]).exit_code == 2, "what is there stays there"
    (tmp_path / "release.json").write_text("[]")
    result = CliRunner().invoke(data, [*command[1:], "--force"])
    assert result.exit_code == 2 and "finds no sample in release.json; give what it reads" in result.output


def test_names_in_a_program_of_ones_own(section, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    section("A score head")
    write_synthetic_cache(tmp_path / "feats.h5")
    (example,) = re.findall(r"```python\n(.*?)```", SECTIONS["Names"], re.S)
    example = example.replace(
        'score_head="laplace"', 'score_head="laplace", epochs=1, meteor=False, device="cpu"'
    )
    names = {}
    with small_models():
        exec(example, names)
        assert names["run"].folder.name == "default-score-head-laplace"
        assert type(names["run"].load_model().heads.score).__name__ == "LaplaceHead"
