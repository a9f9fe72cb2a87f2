"""Extraction into a place, undisturbed and disturbed: the merged file is always one machine's."""

import shutil
import threading
import time
from dataclasses import replace

import fsspec
import pytest
from faulty_store import BUSY, DENIED, EXPIRED, FaultyStore, cut_short, stores
from fleets import everything, one_machine, tiny_fleet
from numbered_video import write_numbered_video

from aqa_cache.annotations import Sample, read_annotations, write_annotations
from aqa_cache.errors import AnnotationError, AqaError, CacheError
from aqa_cache.extraction.run import extract
from aqa_cache.extraction.shards import Shard
from aqa_cache.fleet.driver import extract_to_place
from aqa_cache.fleet.merging import merge_place
from aqa_cache.fleet.part_place import WANTED
from aqa_cache.fleet.parts import PartName
from aqa_cache.remote.place import Place
from aqa_cache.remote.trouble import ATTEMPTS, StoreError

PLACE = "faulty://bucket/parts"


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def config(tmp_path_factory, patch):
    return tiny_fleet(tmp_path_factory.mktemp("fleet"), patch)


@pytest.fixture(scope="module")
def alone(videos, config, tmp_path_factory):
    """What one machine makes of the videos."""
    return one_machine(videos, tmp_path_factory.mktemp("alone") / "feats.h5", config, but=())


@pytest.fixture
def store(monkeypatch, config, tmp_path):
    monkeypatch.setenv("AQA_CACHE", str(tmp_path / "cache"))
    with stores(monkeypatch) as faulty:
        yield faulty


def upload(videos, url):
    files, root = fsspec.core.url_to_fs(url)
    for path in videos.iterdir():
        files.pipe_file(f"{root}/{path.name}", path.read_bytes())


def parts():
    return [item.name for item in Place(PLACE).items() if PartName.parse(item.name)]


def without_times(content):
    """A store has its own time of every video."""
    return {name: value for name, value in content.items() if name != "samples/video_mtime_ns"}


def merged(tmp_path, **options):
    merge_place(PLACE, tmp_path / "merged.h5", **options)
    return everything(tmp_path / "merged.h5", but=())


def test_a_place_gives_what_one_machine_gives(store, videos, config, alone, tmp_path, said):
    first = extract_to_place(videos, PLACE, replace(config, shard=Shard(1, 2)))
    second = extract_to_place(videos, PLACE, replace(config, shard=Shard(2, 2)))
    assert first.samples + second.samples == 11 and first.samples and second.samples
    assert first.done == first.samples and not (first.failures or first.stopped)
    assert len(parts()) == first.parts + second.parts > 4
    again = extract_to_place(videos, PLACE, config)
    assert (again.reused, again.clips, again.parts) == (11, 0, 0)
    merge_place(PLACE, tmp_path / "merged.h5")
    # Also the times of the videos, which are the disk's here.
    assert everything(tmp_path / "merged.h5", but=()) == alone


def test_videos_at_a_url_give_the_same_and_stay_under_the_bound(store, videos, config, alone, tmp_path, said):
    upload(videos, "memory://bucket/videos")
    sizes = [path.stat().st_size for path in videos.glob("*.mp4")]
    extract_to_place("memory://bucket/videos", PLACE, replace(config, cache_bytes=max(sizes)))
    largest = max(item.size for item in Place(PLACE).items() if item.name != WANTED)
    merge_place(PLACE, tmp_path / "merged.h5", cache_bytes=largest)  # one part at a time
    assert everything(tmp_path / "merged.h5") == without_times(alone)
    extract("memory://bucket/videos", tmp_path / "local.h5", config)
    assert everything(tmp_path / "local.h5") == without_times(alone)
    assert not list((tmp_path / "cache" / "fetched").iterdir())
    said.clear()
    extract("memory://bucket/videos", tmp_path / "local.h5", config)
    assert "All 11 sample(s) are done already." in said


def test_two_drivers_at_once(store, videos, config, alone, tmp_path):
    results = []
    drivers = [
        threading.Thread(target=lambda: results.append(extract_to_place(videos, PLACE, config)))
        for _ in range(2)
    ]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert len(results) == 2 and len(parts()) == len(set(parts()))
    assert merged(tmp_path) == alone


def test_a_listing_that_lags(store, videos, config, alone, tmp_path):
    extract_to_place(videos, PLACE, replace(config, shard=Shard(1, 2)))
    before = parts()

    listed = Place.items
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "items", lambda place: [i for i in listed(place) if i.name not in before[:2]])
        extract_to_place(videos, PLACE, config)
    assert set(before) <= set(parts())
    assert merged(tmp_path) == alone


def test_a_store_that_fails_now_and_then(store, videos, config, alone, tmp_path):
    store.faults = {kind: [BUSY] * (ATTEMPTS - 2) for kind in ("find", "put", "get", "head")}
    store.cut = 1
    extract_to_place(videos, PLACE, config)
    assert merged(tmp_path) == alone


@pytest.mark.parametrize("error", [EXPIRED, DENIED, BUSY])
def test_a_store_that_takes_nothing_any_more(store, videos, config, alone, tmp_path, error, said):
    puts = []

    def failing(kind):
        puts.append(kind)
        if kind == "put" and puts.count("put") > 3:
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaultyStore, "_ask", lambda files, kind: failing(kind))
        with pytest.raises(
            StoreError, match="The part is kept in .*; the next run on this machine puts it"
        ) as e:
            extract_to_place(videos, PLACE, config)
    assert str(e.value).count("\n") == 0
    kept = list((tmp_path / "cache" / "unsent").rglob("*.h5"))
    assert kept and len(parts()) == 2
    said.clear()
    result = extract_to_place(videos, PLACE, config)
    assert f"Put {len(kept)} part(s) that an earlier run could not." in said
    assert result.reused >= 2 + len(kept) and not list((tmp_path / "cache" / "unsent").rglob("*.h5"))
    assert merged(tmp_path) == alone


def test_credentials_that_expire_while_videos_are_read(store, videos, config, alone, tmp_path):
    upload(videos, "faulty://bucket/videos")
    asked = []

    def failing(kind):
        asked.append(kind)
        if kind == "get" and asked.count("get") > 3:
            raise EXPIRED

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaultyStore, "_ask", lambda files, kind: failing(kind))
        with pytest.raises(StoreError, match="the credentials have expired; renew them"):
            extract_to_place("faulty://bucket/videos", PLACE, replace(config, workers=1, cache_bytes=100_000))
    extract_to_place("faulty://bucket/videos", PLACE, config)
    merge_place(PLACE, tmp_path / "merged.h5")
    assert everything(tmp_path / "merged.h5") == without_times(alone)


def test_stopped_in_the_middle_of_a_unit(store, videos, config, alone, tmp_path, monkeypatch):
    monkeypatch.setattr("aqa_cache.fleet.units.UNIT_FRAMES", (10_000, 10_000))
    stop = threading.Event()

    def enough(progress):
        if progress.samples >= 3:
            stop.set()

    result = extract_to_place(videos, PLACE, replace(config, workers=1), progress=enough, stop=stop)
    assert result.stopped and 0 < result.done < 11 and len(parts()) == 1
    published = merge_place(PLACE, tmp_path / "merged.h5")  # while the rest is still to be done
    assert len(published.missing) == 11 - result.done
    rest = extract_to_place(videos, PLACE, config)
    assert rest.reused == result.done and rest.done == 11
    assert merged(tmp_path) == alone


def test_a_part_that_is_damaged_later_is_removed_and_made_anew(store, videos, config, alone, tmp_path, said):
    extract_to_place(videos, PLACE, config)
    cut_short(f"{PLACE}/{parts()[0]}")
    said.clear()
    published = merge_place(PLACE, tmp_path / "merged.h5")
    assert published.missing and any("bytes." in line for line in said)
    assert "Removed 1 damaged part(s): run aqa-extract again to make them anew." in said
    result = extract_to_place(videos, PLACE, config)
    assert result.parts == 1
    assert merged(tmp_path) == alone


def test_other_numerics_are_refused_with_their_host_unless_allowed(
    store, videos, config, alone, tmp_path, monkeypatch
):
    monkeypatch.setattr("aqa_cache.fleet.parts.socket.gethostname", lambda: "node-7")
    other = replace(config, batch_size=3)
    extract_to_place(videos, PLACE, replace(other, shard=Shard(1, 3)))
    with pytest.raises(CacheError, match=r"features of parts that node-7 made(?s:.*)batch_size: 4, 3"):
        extract_to_place(videos, PLACE, config)
    extract_to_place(videos, PLACE, replace(config, shard=Shard(2, 3), allow_mixed=True))
    with pytest.raises(CacheError, match=r"sample\(s\) that node-7 made(?s:.*)--allow-mixed"):
        merged(tmp_path)
    extract_to_place(videos, PLACE, replace(config, shard=Shard(3, 3), allow_mixed=True))
    assert '"mixed_with":[{' in merged(tmp_path, allow_mixed=True)["/numerics"]
    # Once one kind has all of them, the others are left out.
    monkeypatch.setattr("aqa_cache.fleet.driver.check_numerics", lambda *_: None)
    extract_to_place(videos, PLACE, config)
    assert merged(tmp_path) == alone


def test_other_settings_need_another_place(store, videos, config, tmp_path):
    extract_to_place(videos, PLACE, config)
    other = replace(config, clip_rule=replace(config.clip_rule, clip_stride=8))
    with pytest.raises(CacheError, match="holds parts of another fingerprint"):
        extract_to_place(videos, PLACE, other)
    from aqa_cache.clips.views import parse_views

    with pytest.raises(CacheError, match="has the views plain, asked for now: plain; flip"):
        extract_to_place(videos, PLACE, replace(config, views=parse_views("flip")))


@pytest.fixture
def two(tmp_path):
    """Two videos, of which the second is not there yet."""
    folder = tmp_path / "two"
    folder.mkdir()
    write_numbered_video(folder / "a.mp4", 40)
    write_annotations(folder / "annotations.csv", [Sample("a", "a.mp4", 0, 20), Sample("b", "b.mp4", 0, 20)])
    return folder


def test_a_sample_that_failed_is_tried_again(store, two, config, tmp_path, said):
    result = extract_to_place(two, PLACE, config)
    assert [sample_id for sample_id, _ in result.failures] == ["b"] and result.done == 2
    assert any("1 of 2 videos are not there: b.mp4" in line for line in said)
    published = merge_place(PLACE, tmp_path / "merged.h5")
    assert published.failures == result.failures and not published.missing
    shutil.copy(two / "a.mp4", two / "b.mp4")
    assert extract_to_place(two, PLACE, config).reused == 1
    assert merge_place(PLACE, tmp_path / "merged.h5").failures == []


def test_a_changed_video_and_changed_frames_are_extracted_anew(store, two, config, tmp_path):
    shutil.copy(two / "a.mp4", two / "b.mp4")
    extract_to_place(two, PLACE, config)
    write_numbered_video(two / "b.mp4", 60)
    samples = read_annotations(two / "annotations.csv")
    write_annotations(two / "annotations.csv", [replace(samples[0], start_frame=4), samples[1]])
    assert extract_to_place(two, PLACE, config).reused == 0
    assert merged(tmp_path) == one_machine(two, tmp_path / "alone.h5", config, but=())


def test_nothing_is_dropped_unasked(store, two, config, tmp_path):
    shutil.copy(two / "a.mp4", two / "b.mp4")
    extract_to_place(two, PLACE, config)
    merge_place(PLACE, tmp_path / "merged.h5")
    write_annotations(two / "annotations.csv", [Sample("a", "a.mp4", 0, 20)])
    with pytest.raises(CacheError, match=r"1 sample\(s\) were asked for before and are not now: b.*--prune"):
        extract_to_place(two, PLACE, config)
    extract_to_place(two, PLACE, replace(config, prune=True))
    with pytest.raises(CacheError, match=r"holds 1 sample\(s\) that are not wanted of the place: b"):
        merge_place(PLACE, tmp_path / "merged.h5")
    assert merge_place(PLACE, tmp_path / "other.h5").samples == 1


def test_the_clock_of_a_machine_decides_nothing(store, videos, config, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1.0)
    monkeypatch.setattr(time, "time_ns", lambda: 10**9)
    extract_to_place(videos, PLACE, replace(config, shard=Shard(1, 2)))
    monkeypatch.undo()
    extract_to_place(videos, PLACE, config)
    assert merged(tmp_path) == alone


@pytest.mark.parametrize(
    "video",
    ["memory://bucket/other/a.mp4", "../secret.mp4", "/etc/passwd", "s3://elsewhere/a.mp4", "a//b.mp4"],
)
def test_a_table_names_only_videos_below_the_url(store, two, config, video):
    upload(two, "memory://bucket/videos")
    write_annotations(two / "annotations.csv", [Sample("a", video, 0, 20)])
    with pytest.raises(AnnotationError, match=r"1 video\(s\) do not lie below memory://bucket/videos"):
        extract_to_place("memory://bucket/videos", PLACE, config, annotations=two / "annotations.csv")


def test_a_table_may_name_videos_by_their_url(store, two, config, tmp_path):
    shutil.copy(two / "a.mp4", two / "b.mp4")
    upload(two, "memory://bucket/videos")
    rows = [Sample("a", "memory://bucket/videos/a.mp4", 0, 20), Sample("b", "./b.mp4", 0, 20)]
    write_annotations(two / "annotations.csv", rows)
    extract_to_place("memory://bucket/videos", PLACE, config, annotations=two / "annotations.csv")
    assert merge_place(PLACE, tmp_path / "merged.h5").failures == []


def test_a_folder_of_frames_at_a_url_is_named_as_one(store, two, config):
    """And so is a table that gives times."""
    upload(two, "memory://bucket/videos")
    fsspec.filesystem("memory").pipe_file("/bucket/videos/frames/000001.jpg", b"any")
    write_annotations(two / "annotations.csv", [Sample("a", "a.mp4", 0, 20), Sample("b", "frames", 0, 20)])
    table = {"annotations": two / "annotations.csv"}
    result = extract_to_place("memory://bucket/videos", PLACE, config, **table)
    ((name, reason),) = result.failures
    assert (
        name == "b" and "videos/frames is a folder, and frames in folders are not read from a URL" in reason
    )
    (two / "annotations.csv").write_text("sample_id,video,start,end\na,a.mp4,0:00,0:01\n")
    with pytest.raises(AnnotationError, match="gives times.*expected start_frame and end_frame"):
        extract_to_place("memory://bucket/videos", PLACE, config, **table)


def test_what_a_place_does_not_take(store, videos, config, tmp_path):
    with pytest.raises(AqaError, match="--dtype is of the published cache"):
        extract_to_place(videos, PLACE, replace(config, dtype="float32"))
    with pytest.raises(AqaError, match="--verify sha256 is of a cache on a disk"):
        extract_to_place(videos, PLACE, replace(config, verify="sha256"))
    with pytest.raises(CacheError, match="holds no extraction"):
        merge_place(PLACE, tmp_path / "merged.h5")
    with pytest.raises(AqaError, match="holds no videos"):
        extract_to_place("memory://bucket/nothing", PLACE, config)


def test_copies_of_a_video_are_known_as_on_one_disk(store, two, config, tmp_path):
    shutil.copy(two / "a.mp4", two / "b.mp4")
    alone = one_machine(two, tmp_path / "alone.h5", config, but=())
    assert "samples/video_sha256" in alone
    extract_to_place(two, PLACE, config)
    assert merged(tmp_path) == alone
