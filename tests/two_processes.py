"""The same end-to-end run in one process and in two, which torchrun starts; used by test_two_processes."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from synthetic_cache import small_models
from tiny_backbone import register_tiny

from aqa_heads import FineTuning, TrainingConfig, fine_tune
from aqa_heads.end_to_end.fine_tuner import FineTuner


def main(folder: str, out: str) -> None:
    """Leaves the gradients of every step, as they are before the optimiser takes them, in
    `out`.gradients-RANK.pt.
    """
    seen = []
    take_step = FineTuner._take_step

    def record(tuner):
        gradients = {
            name: p.grad.clone() for name, p in tuner.modules.named_parameters() if p.grad is not None
        }
        seen.append(gradients)
        # One step moves each weight by about the learning rate, whatever its gradient: rounding would grow
        # from step to step.
        for group in tuner.optimisers[0].param_groups:
            group["lr"] = 1e-30
        take_step(tuner)

    with small_models(), pytest.MonkeyPatch.context() as patch:
        register_tiny(patch)
        patch.setattr(FineTuner, "_take_step", record)
        run = fine_tune(
            TrainingConfig(
                Path(folder) / "feats.h5",
                experiment="baseline",
                epochs=1,
                batch_size=3,
                out=out,
                device="cpu",
                meteor=False,
                checkpoint_seconds=0,
                fine_tuning=FineTuning(Path(folder) / "videos"),
            )
        )
    rank = os.environ.get("RANK", "0")
    torch.save(seen, f"{out}.gradients-{rank}.pt")
    Path(f"{out}.losses-{rank}.json").write_text(
        json.dumps([[e.train_loss, e.val_spearman] for e in run.epochs])
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
