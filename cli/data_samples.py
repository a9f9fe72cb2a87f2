"""aqa-data show --samples: the samples of a cache, one a line."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from aqa_cache.cache_file.reader import FeatureCache


def samples_of(cache: "FeatureCache") -> list[dict]:
    """Of every sample id, video, frames, split, group, score, clips of the plain view, status and reason, as
    JSON holds them.
    """
    return [
        {
            "sample_id": sample.sample_id,
            "video": sample.video,
            "start_frame": sample.start_frame,
            "end_frame": sample.end_frame,
            "split": sample.split,
            "group": sample.group,
            "final_score": None
            if sample.final_score is None or math.isnan(sample.final_score)
            else sample.final_score,
            "clips": max(int(cache.lengths[index, 0]), 0),
            "status": "failed" if cache.reasons[index] else "ok",
            "reason": cache.reasons[index] or None,
        }
        for index, sample in enumerate(cache.samples)
    ]


def print_samples(on: "Console", samples: list[dict]) -> None:
    """As a table; the reason of a sample that failed in place of its clips."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("sample", "split", "group"):
        table.add_column(title, overflow="fold")
    for title in ("score", "clips"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for sample in samples:
        score, failed = sample["final_score"], sample["reason"]
        table.add_row(
            sample["sample_id"],
            sample["split"] or "",
            sample["group"] or "",
            "" if score is None else f"{score:g}",
            "" if failed else f"{sample['clips']:,}",
            f"failed: {failed.removeprefix(sample['sample_id']).strip(': ')}" if failed else "ok",
        )
    on.print(table)
