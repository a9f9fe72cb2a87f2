import json
import os
import shutil
import threading
from collections import namedtuple
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hanging_video import hanging
from numbered_video import image_number, number_image
from pixel_cache import (
    AUGMENTED,
    LONG,
    SAMPLES,
    SHORT,
    SIZE,
    clips_of,
    numbers_of,
    prepare,
    write_pixel_cache,
)
from places import MEDIA

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.clips.rule import ClipRule
from aqa_cache.clips.views import PLAIN, parse_views
from aqa_cache.errors import AqaError, CacheError, VideoError
from aqa_cache.frame_store import preparation, writer
from aqa_cache.frame_store.reader import FrameStore
from aqa_cache.logs import handled
from aqa_cache.video import reader as video_reader

RULES = [
    ClipRule(),
    ClipRule(clip_len=8, clip_stride=3, frame_step=2),
    ClipRule(window=40),
    ClipRule(window=40, clip_starts=(4, 10, 24)),
    ClipRule(clip_len=4, clip_starts=(0, 2, 20), frame_step=5),
]


@pytest.fixture
def fails_to_decode(monkeypatch):
    def decode(*_, **__):
        raise AssertionError("nothing was to be decoded")

    monkeypatch.setattr(video_reader, "decode", decode)


@pytest.mark.parametrize("rule", RULES)
def test_every_clip_of_every_view_is_what_extraction_gives_the_backbone(folder, tmp_path, rule):
    cache = write_pixel_cache(tmp_path / "feats.h5", folder, rule=rule, views=AUGMENTED)
    with prepare(tmp_path / "feats.frames", cache, folder) as store, FeatureCache(cache) as cache:
        assert store.views == AUGMENTED
        assert [not reason for reason in cache.reasons] == [True] * 7 + [False]
        partly = 0
        for index, sample in enumerate(cache.samples[:-1]):
            available = store.available(sample.sample_id)
            assert available == [view for view in range(len(AUGMENTED)) if cache.has_features(index, view)]
            partly += len(available) < len(AUGMENTED)
            for view in available:
                clips = clips_of(store, sample.sample_id, view)
                assert clips.dtype == np.uint8 and clips.shape[1:] == (rule.clip_len, SIZE, SIZE, 3)
                features = clips.transpose(0, 4, 1, 2, 3).reshape(len(clips), -1)
                np.testing.assert_array_equal(features, cache.features(index, view))
        assert partly


def test_the_store_does_not_depend_on_the_views_of_the_cache(folder, tmp_path, cache):
    among = write_pixel_cache(tmp_path / "feats.h5", folder, views=parse_views("jitter=2"))
    with (
        prepare(tmp_path / "alone", cache, folder) as alone,
        prepare(tmp_path / "among", among, folder) as store,
    ):
        assert alone.contents == store.contents
        for sample in SAMPLES[:-1]:
            assert alone.available(sample.sample_id) == store.available(sample.sample_id)
            np.testing.assert_array_equal(
                clips_of(alone, sample.sample_id, 0), clips_of(store, sample.sample_id, 0)
            )


def test_views_are_there_up_to_both_ends_of_the_video_and_no_further(folder, tmp_path):
    samples = [
        Sample("at 0", LONG, 0, 16),
        Sample("at 1", LONG, 1, 17),
        Sample("at 2", LONG, 2, 34),
        Sample("to 298", LONG, 266, 298),
        Sample("to 299", LONG, 283, 299),
        Sample("to 300", LONG, 284, 300),
        Sample("open", LONG, 281),  # frame 297 is its last one in a clip
        Sample("whole", SHORT),  # 57 frames are 3 clips and 9 frames over
    ]
    cache = write_pixel_cache(tmp_path / "feats.h5", folder, samples)
    views = parse_views("flip,jitter=2")
    missing = {
        "at 0": {-2, -1},
        "at 1": {-2},
        "at 2": set(),
        "to 298": set(),
        "to 299": {2},
        "to 300": {1, 2},
        "open": set(),
        "whole": {-2, -1},
    }
    with prepare(tmp_path / "feats.frames", cache, folder, views) as store:
        for sample in samples:
            expected = [
                number for number, view in enumerate(views) if view.shift not in missing[sample.sample_id]
            ]
            assert store.available(sample.sample_id) == expected, sample
            for view in expected:
                firsts = [
                    numbers[0] - views[view].shift for numbers in numbers_of(store, sample.sample_id, view)
                ]
                start, end = (
                    sample.start_frame or 0,
                    sample.end_frame or (300 if sample.video == LONG else 57),
                )
                assert firsts == ClipRule().first_frames(start, end)


def test_a_frame_that_several_clips_and_views_take_is_there_once(folder, tmp_path):
    rule = ClipRule(clip_stride=4)
    samples = [Sample("a", LONG, 1, 33), Sample("b", LONG, 200, 232), Sample("c", LONG, 200, 232)]
    cache = write_pixel_cache(tmp_path / "feats.h5", folder, samples, rule)
    prepare(tmp_path / "feats.frames", cache, folder, parse_views("flip,jitter=3")).close()
    with h5py.File(tmp_path / "feats.frames") as file:
        frames = file["frames"]
        # a: frames 0 to 35, from where one view begins, b and c: 197 to 234
        assert frames.shape == (36 + 38 + 38, SIZE, SIZE, 3) and frames.chunks is None
        scale = 64 // SIZE
        numbers = [image_number(frame.repeat(scale, 0).repeat(scale, 1)) for frame in frames]
        assert numbers == [*range(36), *range(197, 235), *range(197, 235)]
        assert os.path.getsize(tmp_path / "feats.frames") < frames.size + 20_000


def test_every_video_is_decoded_once_and_only_where_clips_are(folder, tmp_path, monkeypatch):
    wanted, really = {}, video_reader.decode

    def decode(path, *arguments, **options):
        assert path.name not in wanted
        wanted[path.name] = options["wanted"]
        return really(path, *arguments, **options)

    samples = [Sample("open", SHORT, 3), Sample("a", LONG, 20, 120), Sample("b", LONG, 190, 290)]
    cache = write_pixel_cache(tmp_path / "feats.h5", folder, samples, ClipRule(window=40))
    monkeypatch.setattr(video_reader, "decode", decode)
    done = []
    prepare(
        tmp_path / "feats.frames",
        cache,
        folder,
        parse_views("jitter=1"),
        progress=lambda *counts: done.append(counts),
    )
    # Two clips of a window of 40 frames leave its last 8 out.
    assert wanted == {SHORT: [(16, 50)], LONG: [(79, 113), (249, 283)]}
    assert done == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_flip_needs_no_frames_of_its_own(folder, tmp_path, cache):
    with (
        prepare(tmp_path / "flip.frames", cache, folder, parse_views("flip")) as flip,
        prepare(tmp_path / "plain.frames", cache, folder, (PLAIN,)) as plain,
    ):
        assert flip.available("whole") == [0, 1] and plain.available("whole") == [0]
        np.testing.assert_array_equal(clips_of(flip, "whole", 1), clips_of(plain, "whole")[:, :, :, ::-1])
    assert os.path.getsize(tmp_path / "flip.frames") - os.path.getsize(tmp_path / "plain.frames") < 20_000


def test_another_stream_than_the_best_one(tmp_path):
    name = "two_video_streams.mp4"
    samples = [Sample("a", name, 30, 62)]
    clips = {}
    for stream in (None, 0, 3):
        cache = write_pixel_cache(tmp_path / "feats.h5", MEDIA, samples, stream=stream)
        with (
            prepare(tmp_path / f"{stream}.frames", cache, MEDIA, (PLAIN,)) as store,
            FeatureCache(cache) as features,
        ):
            clips[stream] = clips_of(store, "a")
            pixels = clips[stream].transpose(0, 4, 1, 2, 3).reshape(2, -1)
            np.testing.assert_array_equal(pixels, features.features(0))
    np.testing.assert_array_equal(clips[None], clips[3])
    assert not np.array_equal(clips[None], clips[0])


def test_a_folder_of_images_and_a_single_video(folder, tmp_path):
    from PIL import Image

    images = tmp_path / "videos" / "images"
    images.mkdir(parents=True)
    for number in range(20):
        Image.fromarray(number_image(number)).save(images / f"{number:02d}.png")
    cache = write_pixel_cache(tmp_path / "images.h5", tmp_path / "videos", [Sample("images", "images")])
    for videos in (tmp_path / "videos", images):
        with prepare(tmp_path / "images.frames", cache, videos) as store:
            assert numbers_of(store, "images") == [list(range(16))]
    cache = write_pixel_cache(tmp_path / "video.h5", folder, [Sample("whole", SHORT)])
    with prepare(tmp_path / "video.frames", cache, folder / SHORT) as store:
        assert store.count("whole") == 3


def test_what_is_there_is_not_decoded_again(folder, tmp_path, cache, request, said):
    prepare(tmp_path / "feats.frames", cache, folder).close()
    before = _identity(tmp_path / "feats.frames")
    request.getfixturevalue("fails_to_decode")
    said.clear()
    prepare(tmp_path / "feats.frames", cache, folder).close()
    assert _identity(tmp_path / "feats.frames") == before and said == []


def test_frames_of_an_earlier_decoding_are_decoded_again_where_they_may_be_wrong(
    folder, tmp_path, cache, monkeypatch, said
):
    path = tmp_path / "feats.frames"
    prepare(path, cache, folder).close()
    with h5py.File(path, "r+") as file:
        contents = json.loads(file["contents"][()])
        assert contents.pop("decoding") == 2
        del file["contents"]
        file["contents"] = json.dumps(contents)
    before = _identity(path)
    said.clear()
    prepare(path, cache, folder).close()
    assert _identity(path) == before and said == []
    monkeypatch.setattr(preparation, "why_mended", lambda video: "is AVI" if video.name == SHORT else None)
    prepare(path, cache, folder).close()
    assert said[0] == f"{path}: holds frames of other decoding; they are decoded anew."
    said.clear()
    prepare(path, cache, folder).close()
    assert said == []


def change_a_rule(folder, cache):
    return write_pixel_cache(cache, folder, rule=ClipRule(clip_stride=8)), AUGMENTED


def change_the_samples(folder, cache):
    return write_pixel_cache(cache, folder, SAMPLES[1:]), AUGMENTED


def change_the_views(folder, cache):
    return cache, parse_views("jitter=4")


def touch_a_video(folder, cache):
    stat = (folder / SHORT).stat()
    os.utime(folder / SHORT, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    return cache, AUGMENTED


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (change_a_rule, "clip rule, samples"),
        (change_the_samples, "samples"),
        (change_the_views, "views"),
        (touch_a_video, "videos"),
    ],
)
def test_what_does_not_fit_is_decoded_anew(folder, tmp_path, change, what, said):
    videos = shutil.copytree(folder, tmp_path / "videos")
    cache = write_pixel_cache(tmp_path / "feats.h5", videos)
    path = tmp_path / "feats.frames"
    with prepare(path, cache, videos) as earlier:
        clips = clips_of(earlier, "whole")
        cache, views = change(videos, cache)
        with prepare(path, cache, videos, views) as store:
            assert f"{path}: holds frames of other {what}; they are decoded anew." in said
            assert store.contents != earlier.contents and store.views == views
        # whoever reads the old one can go on
        np.testing.assert_array_equal(clips_of(earlier, "whole"), clips)
    assert sorted(os.listdir(tmp_path)) == ["feats.frames", "feats.h5", "videos"]


def test_of_two_that_want_the_same_one_decodes_and_the_other_waits(folder, tmp_path, cache, monkeypatch):
    begun, go_on, decoded, waits = threading.Event(), threading.Event(), [], threading.Event()
    really, path = video_reader.decode, tmp_path / "feats.frames"

    def decode(video, *arguments, **options):
        decoded.append(video.name)
        begun.set()
        assert go_on.wait(300)
        return really(video, *arguments, **options)

    def hear(record):
        said.append(record.getMessage())
        if said[-1].startswith("Waiting"):
            waits.set()

    monkeypatch.setattr(video_reader, "decode", decode)
    said = []
    both = [threading.Thread(target=lambda: prepare(path, cache, folder).close()) for _ in range(2)]
    with handled(hear):
        both[0].start()
        assert begun.wait(300)
        both[1].start()
        assert waits.wait(300) and not path.exists()
        go_on.set()
    for thread in both:
        thread.join()
    assert sorted(decoded) == [LONG, SHORT]
    assert [line for line in said if f"process {os.getpid()} on" in line and "decodes frames into" in line]
    with FrameStore(path) as store:
        assert store.count("whole") == 3
    assert os.listdir(tmp_path) == ["feats.frames"]


def test_what_a_killed_process_left_is_removed(folder, tmp_path, cache):
    (tmp_path / ".feats.frames.abc123.tmp").write_bytes(bytes(100))
    (tmp_path / ".other.frames.abc123.tmp").write_bytes(bytes(100))
    prepare(tmp_path / "feats.frames", cache, folder).close()
    assert sorted(os.listdir(tmp_path)) == [".other.frames.abc123.tmp", "feats.frames"]


def refused(error, path, cache, videos, **options):
    """The message, after which nothing is left but what was there."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(error) as raised:
        prepare(path, cache, videos, **options)
    assert sorted(path.parent.iterdir()) == before
    return str(raised.value)


def test_videos_that_are_not_there(folder, tmp_path, cache, fails_to_decode):
    (tmp_path / "videos").mkdir()
    path = tmp_path / "feats.frames"
    assert (
        refused(VideoError, path, cache, tmp_path / "videos")
        == f"{tmp_path / 'videos'}: 2 of the 2 video(s) whose features are in {cache} are not there: long.mp4"
        " (of first, inside, same frames and 3 more), short.mp4 (of whole); give the folder that"
        " aqa-extract was given, with all its videos"
    )
    shutil.copy2(folder / LONG, tmp_path / "videos" / LONG)
    assert "1 of the 2 video(s)" in refused(VideoError, path, cache, tmp_path / "videos")
    assert "nowhere: no such video or folder" in refused(AqaError, path, cache, tmp_path / "nowhere")


def test_videos_that_have_changed_since_extraction(folder, tmp_path, cache, fails_to_decode):
    videos = shutil.copytree(folder, tmp_path / "videos")
    with open(videos / SHORT, "ab") as file:
        file.write(bytes(10))
    message = refused(VideoError, tmp_path / "feats.frames", cache, videos)
    assert "1 of the 2 video(s) have another size than when the features in" in message
    assert "short.mp4 (of whole); put back the videos of then, or extract again" in message


def test_samples_that_cannot_be_decoded_now(folder, tmp_path, cache, said):
    videos = shutil.copytree(folder, tmp_path / "videos")
    (videos / LONG).write_bytes(bytes((videos / LONG).stat().st_size))
    message = refused(VideoError, tmp_path / "feats.frames", cache, videos)
    assert (
        f"{videos}: 6 of 7 sample(s) cannot be decoded now, though their features were extracted:\n  "
        in message
    )
    assert "inside (long.mp4): needs frames [100, 148) but the video has nothing but zeros" in message
    assert (
        "\n  … and 1 more\nSee that the videos are those that aqa-extract was given, or extract again"
        in message
    )
    assert sum("The others are still tried" in line for line in said) == 1


def test_a_video_that_hangs(folder, tmp_path, cache, monkeypatch):
    with hanging(monkeypatch, SHORT, 5):
        message = refused(VideoError, tmp_path / "feats.frames", cache, folder, decode_timeout=0.5)
    assert (
        "1 of 7 sample(s)" in message
        and "whole (short.mp4): decoding has not moved for 0.5 seconds" in message
    )


def rewritten(path, cache, change):
    """A copy of a cache with records and spec as `change` makes them."""
    with FeatureCache(cache) as opened:
        records, spec = change(opened.records(), opened.spec)
    write_cache(path, records, spec, dtype="float32")
    return path


def test_caches_that_no_backbone_can_be_trained_from(folder, tmp_path, cache, fails_to_decode):
    def imported(records, spec):
        return records, replace(spec, preprocessing={}, clip_rule={"clip_len": 16})

    def shifted(records, spec):
        view = records[0].views[0]
        moved = replace(view, first_frame=view.first_frame + [0, 1])
        return [replace(records[0], views=[moved])], spec

    def unknown(records, spec):
        view = records[0].views[0]
        return [replace(records[0], views=[replace(view, first_frame=view.first_frame * 0 - 1)])], spec

    def failed(records, spec):
        return records[-1:], spec

    path, other = tmp_path / "feats.frames", tmp_path / "other.h5"
    for change, expected in (
        (imported, "does not say how its clips are made from video, as imported features do not"),
        (
            shifted,
            "the clips of first begin at frames 1, 18, which its clip rule does not give; extract again",
        ),
        (unknown, "the clips of first begin at frames -1, -1, which its clip rule does not give"),
        (failed, f"none of its 1 sample(s) has features; see: aqa-data show {other}"),
    ):
        rewritten(other, cache, change)
        assert f"{other}: {expected}" in refused(CacheError, path, other, folder)


def test_a_disk_without_room(folder, tmp_path, cache, monkeypatch, fails_to_decode):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: usage(0, 0, 1000))
    message = refused(AqaError, tmp_path / "feats.frames", cache, folder)
    assert (
        f"frames need 0.00 GiB, but {tmp_path} has 0.00 GiB free; make room, choose another place with"
        " --frames" in message
    )


@pytest.mark.parametrize("full_at", [None, 0, 3])
def test_a_disk_that_is_full_before_or_while_frames_are_decoded(folder, tmp_path, cache, full_at):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done=None, total=None):
        if done == full_at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))

    fill()
    try:
        message = refused(AqaError, tmp_path / "feats.frames", cache, folder, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (
        message
        == f"{tmp_path / 'feats.frames'}: writing failed ([Errno 27] File too large); nothing was changed"
    )


def test_places_where_no_store_can_be(folder, tmp_path, cache, fails_to_decode):
    (tmp_path / "notes").write_text("not mine")
    shutil.copy(cache, tmp_path / "feats.h5")
    for path, expected in (
        (tmp_path / "notes", "notes: cannot be read as a frame store ("),
        (tmp_path / "feats.h5", "is an HDF5 file of format 'aqa-feature-cache', expected a frame store"),
        (tmp_path, "is a folder, expected the name of a file to write"),
        (tmp_path / "nowhere" / "feats.frames", "nowhere does not exist; make it first"),
    ):
        with pytest.raises(AqaError) as raised:
            prepare(path, cache, folder)
        assert expected in str(raised.value)
    assert (tmp_path / "notes").read_text() == "not mine"


def test_a_store_of_more_views_serves_those_who_want_fewer(folder, tmp_path, monkeypatch):
    cache = write_pixel_cache(tmp_path / "feats.h5", folder)
    prepare(tmp_path / "feats.frames", cache, folder, AUGMENTED).close()
    monkeypatch.setattr(
        "aqa_cache.frame_store.preparation.write_store", lambda *_: pytest.fail("decoded again")
    )
    for views in ("flip", "jitter=2", None):
        prepare(tmp_path / "feats.frames", cache, folder, parse_views(views)).close()


def _identity(path):
    """Which file it is, and when it was last written; not when it was last read."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
