"""Labels of any characters go through a training and its report as they are."""

import os
from dataclasses import replace

import pytest
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.disk.csv_file import read_rows
from aqa_heads.report.writing import files_folder, write_report
from aqa_heads.runs.format import read_run
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train


def odd(index, sample):
    text = f'\x1b[2J\r{index % 4}\r\n\x85,"=1+1\u2028\u202e$x_{{\\alpha$é'
    classes = {"a\rb": f"c\r{index % 2}"}
    return replace(
        sample,
        sample_id=sample.sample_id + text,
        group=text,
        classes=classes,
        caption=f"a\rdive {index % 3}\r\n\x1bnice",
    )


@pytest.mark.slow  # it draws
def test_labels_are_the_same_in_the_cache_the_run_and_the_report(tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5", 12, 9, change=odd)
    path = path.rename(tmp_path / os.fsdecode(b"feats-\xff.h5"))  # a name that is not UTF-8
    out = tmp_path / os.fsdecode(b"runs-\xff")
    with small_models():
        run = train(
            TrainingConfig(
                path, "1", encoder="attention", attention="dot", epochs=1, out=out, device="cpu", meteor=False
            )
        )
    with FeatureCache(path) as cache:
        expected = {
            sample.sample_id: (sample.group, sample.caption, sample.classes["a\rb"])
            for sample in cache.samples
        }
    table = read_run(run.folder).predictions
    found = {row["sample_id"]: (row["group"], row["caption"], row["class_a\rb"]) for row in table}
    assert found == expected
    page = write_report([out], tmp_path / os.fsdecode(b"page-\xff.html"))
    cells = {cell for _, row in read_rows(files_folder(page) / "groups.csv") for cell in row}
    assert cells >= {row["group"] for row in table if row["split"] == "test"}
