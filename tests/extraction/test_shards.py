import pytest

from aqa_cache.annotations import Sample
from aqa_cache.errors import AqaError
from aqa_cache.extraction.shards import Shard
from aqa_cache.extraction.source import Source


@pytest.fixture
def source(tmp_path):
    """Six videos of 50, 40, 30, 20, 10 and 0 bytes, two samples in each."""
    samples = []
    for number, size in enumerate((30, 10, 50, 0, 40, 20)):
        (tmp_path / f"{number}.mp4").write_bytes(bytes(size))
        samples += [Sample(f"{number}{part}", f"{number}.mp4", part, part + 16) for part in (0, 1)]
    return Source(tmp_path, samples, None)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_whole_videos_and_together_everything(source, count):
    shards = [Shard(number, count).of(source) for number in range(1, count + 1)]
    together = [sample.sample_id for shard in shards for sample in shard]
    assert sorted(together) == [sample.sample_id for sample in source.samples]
    videos = [{sample.video for sample in shard} for shard in shards]
    assert sum(map(len, videos)) == 6


def test_the_largest_are_dealt_first_to_the_smallest_share(source):
    def sizes(number):
        return sorted({source.path(sample).stat().st_size for sample in Shard(number, 3).of(source)})

    assert [sizes(1), sizes(2), sizes(3)] == [[0, 50], [10, 40], [20, 30]]


def test_what_torchrun_and_slurm_say():
    assert Shard.from_environment({}) == Shard(1, 1)
    assert Shard.from_environment({"RANK": "2", "WORLD_SIZE": "4"}) == Shard(3, 4, "RANK and WORLD_SIZE")
    array = {
        "SLURM_ARRAY_TASK_ID": "7",
        "SLURM_ARRAY_TASK_MIN": "5",
        "SLURM_ARRAY_TASK_MAX": "8",
        "SLURM_ARRAY_TASK_COUNT": "4",
    }
    assert Shard.from_environment(array) == Shard(3, 4, "SLURM_ARRAY_TASK_ID")
    with pytest.raises(AqaError, match="the environment says RANK=first, WORLD_SIZE=2, expected numbers"):
        Shard.from_environment({"RANK": "first", "WORLD_SIZE": "2"})
    for rank, count in (("5", "2"), ("2", "2"), ("0", "0")):
        with pytest.raises(AqaError, match=f"says RANK={rank}, WORLD_SIZE={count}, expected a rank"):
            Shard.from_environment({"RANK": rank, "WORLD_SIZE": count})
    for task in ("4", "9", "0"):
        with pytest.raises(AqaError, match=f"tasks from 5 to 8, but SLURM_ARRAY_TASK_ID is {task}"):
            Shard.from_environment({**array, "SLURM_ARRAY_TASK_ID": task})
    with pytest.raises(AqaError, match="has 3 tasks from 5 to 8; use one without gaps, or --shard"):
        Shard.from_environment({**array, "SLURM_ARRAY_TASK_COUNT": "3"})


@pytest.mark.parametrize("text", ["2", "0/2", "3/2", "a/b", "1/", "-1/2", "1/2/3"])
def test_shards_that_are_none(text):
    with pytest.raises(AqaError, match=r"is not one of 1/N, 2/N, … N/N"):
        Shard.parse(text)
    assert str(Shard.parse("2/8")) == "2/8"


@pytest.mark.parametrize("number", ["²", "9" * 5000, "-1", "1.0", "", "0x1", "٣"])
def test_what_is_no_number_of_a_process_is_one_message(number):
    with pytest.raises(AqaError, match="expected numbers"):
        Shard.from_environment({"RANK": number, "WORLD_SIZE": "2"})
    with pytest.raises(AqaError, match="is not one of 1/N"):
        Shard.parse(f"{number}/{number}")


def test_more_shards_than_anybody_has_cost_nothing(source):
    assert len(Shard(1, 999_999_999).of(source)) == 2
    assert Shard(999_999_999, 999_999_999).of(source) == []
