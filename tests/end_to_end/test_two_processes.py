"""End to end in two processes: the gradients of one, whatever share of samples and labels each has."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import two_processes
from tiny_backbone import change_annotations, extract_tiny, register_tiny, write_weights

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.rule import ClipRule
from aqa_cache.datasets.synthetic_dives import render_broadcasts
from aqa_heads import read_run

HERE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten dives to train on in steps of three, so that one process has two, one or none; of four to six clips
    each, some labels are missing.
    """
    folder = tmp_path_factory.mktemp("two-processes")
    render_broadcasts(
        folder / "videos", train_dives=13, test_dives=3, events=4, seed=0, size=(128, 72), workers=1
    )

    def change(index, sample):
        if sample.split == "train" and index % 4 == 1:
            return replace(sample, split="val")
        lacking = (
            {"final_score": None}
            if index % 3 == 0
            else {"caption": None}
            if index % 3 == 1
            else {"classes": {}}
        )
        return replace(sample, **lacking) if sample.split == "train" else sample

    change_annotations(folder / "videos", change)
    write_weights(folder / "tiny.pth")
    with pytest.MonkeyPatch.context() as patch:
        register_tiny(patch)
        extract_tiny(folder, folder / "videos", clip_rule=ClipRule())
    with FeatureCache(folder / "feats.h5") as cache:
        assert len(set(cache.lengths[:, 0].tolist())) > 1
    return folder


def run_in_two(folder, name):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    command = [sys.executable, *TWO, str(HERE / "two_processes.py"), str(folder), str(folder / name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(folder):
    two_processes.main(str(folder), str(folder / "one"))
    run_in_two(folder, "two")
    one, first, second = (
        torch.load(folder / f"{name}.pt")
        for name in ("one.gradients-0", "two.gradients-0", "two.gradients-1")
    )
    assert len(one) == len(first) == len(second) == 4
    for mine, theirs, others in zip(one, first, second, strict=True):
        assert mine.keys() == theirs.keys() == others.keys()
        largest = max(float(gradient.abs().max()) for gradient in mine.values())
        for name, gradient in mine.items():
            torch.testing.assert_close(theirs[name], gradient, rtol=1e-4, atol=1e-6 * largest, msg=name)
            assert torch.equal(theirs[name], others[name]), name
    losses = [
        json.loads((folder / f"{name}.json").read_text())
        for name in ("one.losses-0", "two.losses-0", "two.losses-1")
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert losses[1] == losses[2]
    one, two = (read_run(next((folder / name).glob("[!.]*"))) for name in ("one", "two"))
    assert two.config["fine_tuning"]["processes"] == 2
    assert [row["sample_id"] for row in one.predictions] == [row["sample_id"] for row in two.predictions]
    np.testing.assert_allclose(
        *([float(row["predicted_score"]) for row in made.predictions] for made in (one, two)), rtol=1e-4
    )
