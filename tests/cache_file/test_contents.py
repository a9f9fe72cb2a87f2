import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from make_feature_cache_v1 import SPEC, VIEWS, records
from synthetic_cache import tuned_on, write_synthetic_cache

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.contents import contents
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import Record
from aqa_cache.cache_file.writer import write_cache
from aqa_cli.data import data


@pytest.fixture
def path(tmp_path):
    write_cache(tmp_path / "feats.h5", records(), SPEC, views=VIEWS, numerics={"device": "cpu"})
    return tmp_path / "feats.h5"


def show(path, *options):
    result = CliRunner().invoke(data, ["show", str(path), *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_contents_by_hand(path):
    with FeatureCache(path) as cache:
        inside = contents(cache)
    assert inside["samples"] == 3 and inside["failed"] == 1 and inside["bytes"] == path.stat().st_size
    assert inside["clips"] == {
        "plain": {"samples": 2, "total": 4, "min": 1, "median": 2.0, "max": 3},
        "flip": {"samples": 1, "total": 2, "min": 2, "median": 2, "max": 2},
    }
    assert inside["final_score"] == {"min": 80.5, "mean": 80.5, "std": 0.0, "max": 80.5}
    assert inside["classes"] == {"position": {"pike": 1}, "twists": {"1.5": 1}}
    assert inside["caption_words"] == {"min": 4, "median": 4, "max": 4}
    assert inside["extra"] == ["nation", "speed/km/h"]
    assert inside["failures"] == [{"sample_id": "gone", "reason": "gone (gone.mp4): no such video"}]
    by_split = {entry["split"]: (entry["samples"], entry["with_features"]) for entry in inside["splits"]}
    assert by_split == {"train": (1, 1), "": (1, 1), "test": (1, 0)}
    assert (
        inside["provenance"]["fingerprint"] == SPEC.fingerprint and inside["provenance"]["dtype"] == "float16"
    )


def test_json_is_the_contents(path):
    with FeatureCache(path) as cache:
        assert json.loads(show(path, "--json")) == contents(cache)


def test_a_person_sees_everything_that_decides_what_features_are(path):
    text = show(path)
    for word in (
        "s3d",
        "a layer",
        "4 values per clip",
        "float16",
        "ab" * 32,
        "crop 112",
        "clip_len 16",
        "plain, flip",
        "device cpu",
        SPEC.fingerprint,
        "3 samples, 2 with features, 1 failed",
        "80.5",
        "gone (gone.mp4): no such video",
    ):
        assert word in text, word


def test_the_first_twenty_failures_or_all(tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5", 30, 0, failed=tuple(range(25)))
    assert show(path).count("video is truncated") == 20 and "… and 5 more; --all lists them" in show(path)
    assert show(path, "--all").count("video is truncated") == 25
    assert len(json.loads(show(path, "--json"))["failures"]) == 25


def test_brackets_are_shown_as_they_are(tmp_path):
    sample = Sample("[bold]a", "v", split="train", classes={"x": "[red]b[/red]"})
    write_cache(tmp_path / "f.h5", [Record(sample, [None], "[bold]a: [/] failed")], SPEC)
    assert "[red]b[/red] 1" in show(tmp_path / "f.h5") and "[bold]a: [/] failed" in show(tmp_path / "f.h5")


def test_an_empty_cache_and_no_cache(tmp_path):
    write_cache(tmp_path / "empty.h5", [], SPEC)
    assert "0 samples" in show(tmp_path / "empty.h5")
    result = CliRunner().invoke(data, ["show", str(tmp_path / "no.h5")])
    assert result.exit_code == 2 and "no such file" in result.stderr


def test_what_the_backbone_was_fine_tuned_on_is_a_line(tmp_path):
    tuned = tuned_on(0, 1, chosen=(2,))
    path = write_synthetic_cache(tmp_path / "tuned.h5", weights="exp2", tuned=tuned)
    assert "from sports1m, on 2 samples, chosen on 1" in show(path)
    assert json.loads(show(path, "--json"))["provenance"]["tuned"] == tuned.record()
    write_synthetic_cache(path, tuned=replace(tuned, started_from="exp1"))
    assert "from exp1 (which began as sports1m), on 2 samples" in show(path)
    assert "fine-tuned" not in show(write_synthetic_cache(tmp_path / "plain.h5"))


def test_samples_are_listed_with_what_there_is_of_each(path):
    (listed,) = json.loads(show(path, "--samples", "--json")).values()
    with FeatureCache(path) as cache:
        assert [one["sample_id"] for one in listed] == [sample.sample_id for sample in cache.samples]
        assert [one["clips"] for one in listed] == [max(count, 0) for count in cache.lengths[:, 0].tolist()]
        assert [one["reason"] or "" for one in listed] == cache.reasons
        assert [one["final_score"] for one in listed] == [sample.final_score for sample in cache.samples]
    lines = show(path, "--samples").splitlines()
    assert (
        len(lines) == 1 + len(listed) and lines[0].split() == "sample split group score clips status".split()
    )
    for one, line in zip(listed, lines[1:], strict=True):
        assert line.startswith(one["sample_id"]) and ("failed: " in line) == (one["status"] == "failed")
