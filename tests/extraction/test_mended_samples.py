"""A cache that an earlier version of decoding made is continued: what may be wrong is made anew, no more."""

import json
import shutil
import threading
from dataclasses import replace

import h5py
import pytest
from click.testing import CliRunner
from numbered_video import write_numbered_video
from small_extraction import CONFIG, assert_same_features, contents

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.errors import CacheError
from aqa_cache.extraction.existing import wrongly_made
from aqa_cache.extraction.publishing import merge
from aqa_cache.extraction.run import extract
from aqa_cache.extraction.shards import Shard
from aqa_cache.weights.random_weights import random_weights_path
from aqa_cli.data import data


@pytest.fixture(scope="module")
def whole(tmp_path_factory, random_s3d):
    """Two plain videos and two of kinds that were mended, and their cache."""
    folder = tmp_path_factory.mktemp("mended")
    (folder / "in").mkdir()
    for name, codec in (("a.mp4", "libx264"), ("b.mkv", "libx264"), ("c.avi", "mpeg4")):
        write_numbered_video(folder / "in" / name, 16, codec=codec)
    write_numbered_video(folder / "in" / "d.ts", 16, codec="mpeg2video", flags="+ildct+ilme")
    random_weights_path(folder / "feats.h5", "s3d").symlink_to(random_s3d)
    extract(folder / "in", folder / "feats.h5", CONFIG)
    return folder


@pytest.fixture
def videos(whole, tmp_path):
    return shutil.copytree(whole / "in", tmp_path / "in")


@pytest.fixture
def output(whole, videos, output):
    """The cache as an earlier version would have left it."""
    shutil.copy(whole / "feats.h5", output)
    as_of_version_1(output)
    return output


def numerics(path) -> dict:
    with FeatureCache(path) as cache:
        return cache.numerics


def as_of_version_1(path, **changed) -> None:
    """Make of a cache one that says nothing of decoding, with features that can be told from today's."""
    with h5py.File(path, "r+") as file:
        record = json.loads(file.attrs["numerics"])
        record.pop("decoding", None)
        file.attrs["numerics"] = json.dumps(record | changed)
        file.attrs.pop("attributes_sha256", None)  # as in the files of then
        file["features"][:] = 1


def anew(path) -> list[str]:
    """The samples whose features are not those that `as_of_version_1` left."""
    return [key for key, record in contents(path).items() if (record.views[0].features != 1).any()]


def test_mended_kinds_are_extracted_anew_and_listed_and_the_others_stay(whole, videos, output, said):
    assert numerics(whole / "feats.h5")["decoding"] == 2
    result = extract(videos, output, CONFIG)
    assert (result.reused, result.anew, anew(output)) == (2, ["c", "d"], ["c", "d"])
    assert "Looking at the headers of 4 video(s) that an earlier version extracted." in said
    assert any(line.endswith("each one's video is AVI, whose clip times came late: c") for line in said)
    assert any(line.endswith("if it is coded by fields its frames were counted wrongly: d") for line in said)
    assert numerics(output)["decoding"] == 2 and "mixed_with" not in numerics(output)
    assert json.loads((output.parent / "feats.h5.log").read_text().splitlines()[-1])["anew"] == ["c", "d"]
    now, expected = contents(output), contents(whole / "feats.h5")
    assert_same_features({key: now[key] for key in "cd"}, {key: expected[key] for key in "cd"})
    said.clear()
    result = extract(videos, output, CONFIG)
    assert (result.reused, result.anew) == (4, []) and not any(
        "anew" in line or "headers" in line for line in said
    )


def test_other_numerics_are_still_refused_and_named_without_decoding(videos, output):
    as_of_version_1(output, torch="1.0")
    before = output.read_bytes()
    with pytest.raises(CacheError, match="computed otherwise") as error:
        extract(videos, output, CONFIG)
    assert "torch: " in str(error.value) and "decoding" not in str(error.value)
    assert output.read_bytes() == before
    extract(videos, output, replace(CONFIG, allow_mixed=True))
    assert numerics(output)["decoding"] == 2 and numerics(output)["mixed_with"][0]["torch"] == "1.0"


def test_a_cache_with_nothing_mended_in_it_is_not_touched(videos, output):
    for name in ("c.avi", "d.ts"):
        (videos / name).unlink()
    extract(videos, output, replace(CONFIG, prune=True))
    as_of_version_1(output)
    before = output.stat()
    assert extract(videos, output, CONFIG).reused == 2
    assert output.stat().st_mtime_ns == before.st_mtime_ns
    write_numbered_video(videos / "e.mp4", 16)
    assert extract(videos, output, CONFIG).reused == 2
    assert numerics(output)["decoding"] == 2 and anew(output) == ["e"]


def test_what_is_away_is_kept_and_looked_at_when_it_is_back(videos, output, tmp_path, said):
    write_annotations(
        videos / "annotations.csv", [Sample(path.stem, path.name) for path in sorted(videos.iterdir())]
    )
    (videos / "c.avi").rename(tmp_path / "c.avi")
    assert extract(videos, output, CONFIG).anew == ["d"]
    assert any(
        "earlier version and cannot be looked at, as their videos are not there: c" in one for one in said
    )
    assert (numerics(output)["decoding"], numerics(output)["not_looked_at"]) == (2, ["c"])
    assert extract(videos, output, CONFIG).clips == 0
    (tmp_path / "c.avi").rename(videos / "c.avi")
    assert extract(videos, output, CONFIG).anew == ["c"]
    assert "not_looked_at" not in numerics(output) and anew(output) == ["c", "d"]


def test_an_interrupted_run_publishes_no_wrong_features(videos, output):
    stop = threading.Event()
    result = extract(
        videos,
        output,
        replace(CONFIG, batch_size=1, workers=1, allow_mixed=True),
        stop=stop,
        progress=lambda state: state.samples and stop.set(),
    )
    made = [record for key, record in contents(output).items() if record.ok and key in "cd"]
    assert len(made) == 2 - result.missing > 0 and all((one.views[0].features != 1).any() for one in made)


def test_shards_share_what_is_made_anew(videos, output):
    assert extract(videos, output, replace(CONFIG, shard=Shard(1, 2))).dtype is None
    extract(videos, output, replace(CONFIG, shard=Shard(2, 2)))
    assert anew(output) == ["c", "d"] and numerics(output)["decoding"] == 2


def test_merging_looks_at_no_video_and_says_which_were_not(videos, output):
    extract(videos, output, replace(CONFIG, shard=Shard(1, 2)))
    merge(output)
    made = anew(output)
    assert made and numerics(output)["not_looked_at"] == [key for key in "abcd" if key not in made]
    extract(videos, output, CONFIG)
    assert anew(output) == ["c", "d"] and "not_looked_at" not in numerics(output)


def test_verify_lists_them(whole, videos, output):
    def verify(features, *options):
        return CliRunner().invoke(data, ["verify", str(features), *map(str, options)])

    assert verify(whole / "feats.h5", "--videos", videos).exit_code == 0
    assert verify(output).exit_code == 0
    (videos / "d.ts").unlink()
    result = verify(output, "--videos", videos)
    assert result.exit_code == 1 and "feats.h5 is whole" in result.stdout
    assert result.stdout.splitlines()[1:] == ["c: c.avi is AVI, whose clip times came late"]
    assert "1 sample(s) were extracted by an earlier version" in result.stderr
    unseen = f"1 sample(s) of that version could not be looked at, as their videos are not in {videos}: d"
    assert unseen in result.stderr


def test_no_video_outside_the_folder_that_was_given_is_looked_at(output, videos, tmp_path):
    with FeatureCache(output) as cache:
        cache.samples[:] = [replace(sample, video=str(videos / sample.video)) for sample in cache.samples]
        found, unseen = wrongly_made(cache, tmp_path / "elsewhere")
    assert not found and [sample.sample_id for sample in unseen]
