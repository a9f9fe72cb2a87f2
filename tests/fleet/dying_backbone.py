"""A backbone for actors of Ray: it is named as MODULE:ATTRIBUTE, and dies where a test wants it to."""

import contextlib
import os
import signal
import time
from pathlib import Path

import torch
from dying import die_at
from tiny_backbone import DIM, tiny
from torch import nn

from aqa_cache.backbones.registry import Backbone
from aqa_cache.clips.preprocess import Preprocessing

DIE_ONCE = "AQA_TEST_DIE_ONCE"
"""Names a file; the process that finds it removes it and dies, by its own number."""
DIE_LOADING = "AQA_TEST_DIE_LOADING"
"""The same, where the network is made."""
HANG_ON = "AQA_TEST_HANG_ON"
"""Names a file with the number of a node; a process on it renames the file to `….found`, and waits. Those on
other nodes wait until it has: they would have done everything before its actor has loaded.
"""
_BRIGHT = 1.9  # a white frame, normalised, is (1 - .45) / .25; black ones fill up a batch


def _hang() -> None:
    mark, until = Path(os.environ.get(HANG_ON, "/nowhere")), time.monotonic() + 300
    while mark.exists() and time.monotonic() < until:
        import ray

        with contextlib.suppress(FileNotFoundError):  # found meanwhile
            if ray.get_runtime_context().get_node_id() == mark.read_text():
                mark.rename(f"{mark}.found")
                time.sleep(600)
        time.sleep(0.05)


class Dying(nn.Module):
    def __init__(self):
        super().__init__()
        die_at(DIE_LOADING)
        self.network = tiny()

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)  # so that something is under way
        die_at(DIE_ONCE)
        _hang()
        if (clips.flatten(1).amin(1) > _BRIGHT).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.network(clips)


BACKBONE = Backbone(
    "dying_backbone:BACKBONE",
    Dying,
    "mean over time, height and width",
    DIM,
    preprocessing=Preprocessing(resize=(36, 48), crop=32, mean=(0.45,) * 3, std=(0.25,) * 3),
)
