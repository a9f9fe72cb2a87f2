import pytest

from aqa_cache.annotations import Sample
from aqa_cache.clips.rule import ClipRule
from aqa_cache.extraction.shards import Shard
from aqa_cache.fleet import units
from aqa_cache.fleet.driver import shard_of
from aqa_cache.fleet.units import make_units

RULE = ClipRule()


def dives(count, video="{}.mp4", frames=96, gap=100):
    return [Sample(f"s{n:05d}", video.format(n), n * gap, n * gap + frames) for n in range(count)]


def made(samples, row_bytes=4096, size=lambda video: 0):
    return make_units(samples, RULE, row_bytes, size)


@pytest.mark.parametrize("video", ["{}.mp4", "broadcast.mp4"])
@pytest.mark.parametrize("count", [1, 7, 500, 40_000])
def test_units_are_all_samples_once_and_bounded(video, count):
    samples = dives(count, video)
    found = made(samples)
    assert [s for unit in found for s in unit.samples] == samples
    assert all(6 * 4096 * len(unit.samples) <= units.UNIT_BYTES + 6 * 4096 for unit in found)
    assert all(unit.frames <= units.UNIT_FRAMES[1] + 96 for unit in found)
    assert len(found) >= min(count // 3, units.UNITS)
    assert sum(unit.frames for unit in found) == 96 * count


def test_a_long_video_is_divided_only_where_no_two_samples_share_a_frame(monkeypatch):
    monkeypatch.setattr(units, "UNIT_FRAMES", (1, 1))
    spans = [(0, 50), (40, 90), (90, 120), (200, 300), (210, 220), (290, 310)]
    samples = [Sample(str(n), "long.mp4", *span) for n, span in enumerate(spans)]
    found = made(samples[::-1])
    assert [[int(s.sample_id) for s in unit.samples] for unit in found] == [[0, 1], [2], [3, 4, 5]]


def test_a_whole_video_is_a_unit_and_weighs_by_its_bytes():
    samples = [Sample("a", "a.mp4", 0, 96), Sample("b", "b.mp4"), Sample("c", "c.mp4", 0, 96)]
    found = made(samples, size=lambda video: 1 << 24)
    assert [[s.sample_id for s in unit.samples] for unit in found] == [["b"], ["a", "c"]]
    assert found[0].frames > 1000


def test_a_table_that_grows_leaves_the_units_before_as_they_are():
    before, after = made(dives(4000)), made(dives(5000))
    assert after[: len(before) - 1] == before[:-1]


def test_large_features_make_small_units():
    assert all(len(unit.samples) <= 22 for unit in made(dives(2000), row_bytes=4 * 8192))


@pytest.mark.parametrize("count", [1, 3, 8, 1000])
def test_shards_of_units_are_all_of_them_once_and_even(count):
    found = made(dives(2000))
    shards = [shard_of(found, Shard(number, count)) for number in range(1, count + 1)]
    assert sorted(id(unit) for shard in shards for unit in shard) == sorted(map(id, found))
    if count <= 8:
        frames = [sum(unit.frames for unit in shard) for shard in shards]
        assert max(frames) - min(frames) <= max(unit.frames for unit in found)
