import hashlib
import os
import shutil
import threading
import time
from dataclasses import replace

import numpy as np
from numbered_video import write_numbered_video
from small_extraction import CONFIG, assert_same_features, contents
from synthetic_cache import write_synthetic_cache

from aqa_cache.annotations import Sample
from aqa_cache.cache_file import writer as cache_writer
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import Record
from aqa_cache.extraction.existing import ExistingRecords
from aqa_cache.extraction.parts import Parts
from aqa_cache.extraction.run import extract
from aqa_cache.extraction.shards import Shard


def test_a_late_failure_does_not_hide_what_another_host_did_later(videos, output):
    """Clocks of hosts differ; the part that was begun last counts."""
    ahead = Parts(output)
    name = f"{time.time_ns() + 10**12:020d}-elsewhere-1.h5"
    first = Sample("0-0", "0.mp4", 0, 20)
    extract(videos, output, CONFIG)
    whole = contents(output)
    ahead.folder.mkdir()
    with FeatureCache(output) as cached:
        failed = Record(first, [None], "0-0 (0.mp4): its disk was away")
        cache_writer.write_cache(ahead.folder / name, [failed], cached.spec, numerics=cached.numerics)
    output.unlink()
    assert not extract(videos, output, CONFIG).failures
    assert_same_features(contents(output), whole)


def test_content_decides_where_it_is_asked_for(tmp_path, output, said):
    (tmp_path / "in").mkdir()
    video = write_numbered_video(tmp_path / "in" / "v.mp4", 20)
    config = replace(CONFIG, verify="sha256")
    extract(tmp_path / "in", output, config)
    assert "Hashing 1 videos …" in said
    assert contents(output)["v"].video_sha256 == hashlib.sha256(video.read_bytes()).hexdigest()
    before = video.stat()
    os.utime(video, ns=(0, 0))
    assert extract(tmp_path / "in", output, config).reused == 1  # another date, the same content
    assert extract(tmp_path / "in", output, CONFIG).reused == 0  # by date
    output.unlink()
    extract(tmp_path / "in", output, config)
    content = bytearray(video.read_bytes())
    content[-1] ^= 1
    stamp = video.stat()
    video.write_bytes(content)
    os.utime(video, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert video.stat().st_size == before.st_size
    assert extract(tmp_path / "in", output, CONFIG).reused == 1  # neither size nor date has changed
    assert extract(tmp_path / "in", output, config).reused == 0  # but content has


def test_frames_written_anew_are_noticed(tmp_path, output):
    from PIL import Image

    folder = tmp_path / "in" / "v"
    folder.mkdir(parents=True)
    for number in range(16):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(folder / f"{number:03d}.png")
    extract(tmp_path / "in", output, CONFIG)
    assert extract(tmp_path / "in", output, CONFIG).reused == 1
    Image.new("RGB", (64, 64), (255, 0, 0)).save(folder / "007.png")
    assert extract(tmp_path / "in", output, CONFIG).reused == 0


def test_features_of_a_video_that_has_changed_are_not_published_as_its_own(videos, tmp_path, output):
    shutil.copytree(videos, tmp_path / "in")
    extract(tmp_path / "in", output, CONFIG)
    for number in range(4):
        write_numbered_video(tmp_path / "in" / f"{number}.mp4", 130)
    first = extract(tmp_path / "in", output, replace(CONFIG, shard=Shard(1, 2)))
    assert first.dtype is None  # the other shard's features are of videos that are gone
    extract(tmp_path / "in", output, replace(CONFIG, shard=Shard(2, 2)))
    for number in range(4):
        write_numbered_video(tmp_path / "in" / f"{number}.mp4", 140 + number)
    stop, before = threading.Event(), output.read_bytes()
    stop.set()
    assert extract(tmp_path / "in", output, CONFIG, stop=stop).missing == len(contents(output))
    assert output.read_bytes() == before  # nothing new, nothing touched
    stop = threading.Event()
    result = extract(
        tmp_path / "in", output, CONFIG, stop=stop, progress=lambda state: state.samples and stop.set()
    )
    done = [record for record in contents(output).values() if record.ok]
    assert done and result.missing == len(contents(output)) - len(done) > 0
    assert all(record.video_size == (tmp_path / "in" / record.sample.video).stat().st_size for record in done)


def test_nothing_to_do_writes_nothing(videos, output):
    extract(videos, output, CONFIG)
    before = output.stat()
    result = extract(videos, output, replace(CONFIG, batch_size=2))  # other numerics, but nothing is computed
    after = output.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert result.clips == 0 and result.reused == len(contents(output))


def test_the_output_is_read_to_the_end_from_the_file_that_was_opened(tmp_path):
    path, other = (
        write_synthetic_cache(tmp_path / f"{seed}.h5", 3, 0, seed=seed, clips=lambda index: 2)
        for seed in (0, 1)
    )
    with FeatureCache(path) as cache:
        samples, features = cache.samples, cache.features(1)
    with ExistingRecords(path, []) as existing:
        other.replace(path)
        record = existing.record(samples[1])
        np.testing.assert_array_equal(record.views[0].features[0:2], features)
