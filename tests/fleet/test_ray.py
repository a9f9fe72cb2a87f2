"""Extraction by actors of Ray, undisturbed and disturbed: the merged file is always one machine's."""

import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fleets import everything, one_machine

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import AqaError
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.fleet.driver import extract_to_place
from aqa_cache.fleet.merging import merge_place
from aqa_cache.fleet.ray_crew import RayActors

pytestmark = pytest.mark.extra
ray = pytest.importorskip("ray")

STORE_BYTES = 100 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def cluster(folder):
    """A head with one CPU by name; what actors are to see of the environment is set before."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        tests = Path(__file__).parents[1]
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tests), str(tests / "fleet")]))
        patch.syspath_prepend(str(tests / "fleet"))
        patch.setenv("AQA_CACHE", str(folder / "cache"))
        patch.setenv("AQA_WEIGHTS", str(folder / "weights"))
        patch.setenv("AQA_TEST_DIE_ONCE", str(folder / "die"))
        patch.setenv("AQA_TEST_DIE_LOADING", str(folder / "die_loading"))
        patch.setenv("AQA_TEST_HANG_ON", str(folder / "hang"))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # other programs may fill this machine
        patch.setattr("aqa_cache.fleet.units.UNIT_FRAMES", (30, 30))
        node = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        soon = {"_system_config": {"health_check_period_ms": 1000}}  # that a node is lost
        cluster = Cluster(initialize_head=True, head_node_args=node | soon)
        try:
            ray.init(cluster.address, log_to_driver=False, logging_level="error")
            cluster.node = node
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def two_nodes(cluster):
    """The head and one more."""
    del cluster.node["include_dashboard"]
    node = cluster.add_node(**cluster.node)
    cluster.node["include_dashboard"] = False
    yield cluster, node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


@pytest.fixture(scope="module")
def config(cluster):
    rule = ClipRule(clip_stride=4)
    name = "dying_backbone:BACKBONE"
    return ExtractionConfig(
        name,
        weights="random",
        batch_size=4,
        workers=1,
        threads=1,
        clip_rule=rule,
        engine="torch",  # another would convert the network and so not run what dies in it
    )


@pytest.fixture(scope="module")
def alone(videos, config, folder):
    weights = folder / "weights" / "place.random-dying_backbone:BACKBONE.safetensors"
    result = one_machine(videos, folder / "feats.h5", config, but=())
    weights.parent.mkdir(exist_ok=True)
    shutil.copy(folder / "feats.random-dying_backbone:BACKBONE.safetensors", weights)
    return result


@pytest.fixture
def place(tmp_path):
    return f"file://{tmp_path}/parts"


def merged(place, tmp_path):
    merge_place(place, tmp_path / "merged.h5")
    return everything(tmp_path / "merged.h5", but=())


def parts(place):
    return list(Path(place.removeprefix("file://")).glob("*-*.h5"))


def test_actors_make_what_one_machine_makes_and_what_is_there_is_not_made_again(
    two_nodes, videos, config, alone, place, tmp_path, said
):
    seen = []
    result = extract_to_place(videos, place, config, progress=seen.append, ray=RayActors(most=2))
    assert (result.done, result.reused, result.failures, result.stopped) == (11, 0, [], False)
    assert any("in actors of 1 CPU." in line for line in said)
    assert result.parts == len(parts(place)) > 4
    assert [p.samples for p in seen] == sorted(p.samples for p in seen)
    assert seen[-1].samples == seen[-1].samples_total == 11
    assert seen[-1].clips == seen[-1].clips_total == result.clips == 22
    assert merged(place, tmp_path) == alone
    again = extract_to_place(videos, place, config, ray=RayActors())
    assert (again.reused, again.clips, again.parts) == (11, 0, 0)


def test_an_actor_that_is_killed_in_mid_video_is_replaced(
    cluster, videos, config, alone, place, folder, tmp_path, said
):
    (folder / "die").touch()
    result = extract_to_place(videos, place, config, ray=RayActors())
    assert not (folder / "die").exists()
    died = [line for line in said if "died" in line]
    assert len(died) == 1 and "its process ended" in died[0] and "go to others" in died[0]
    assert result.done == 11 and result.failures == []
    assert merged(place, tmp_path) == alone


def test_an_actor_that_is_killed_as_it_loads_is_replaced(cluster, videos, config, place, folder, said):
    """As memory that ends where the backbone is loaded does it."""
    (folder / "die_loading").touch()
    result = extract_to_place(videos, place, config, ray=RayActors())
    assert not (folder / "die_loading").exists()
    died = [line for line in said if "died" in line]
    assert len(died) == 1 and died[0].startswith("An actor died as it loaded the backbone (its process ended")
    assert result.done == 11 and result.failures == []


def test_a_node_that_is_removed_costs_what_was_under_way(
    two_nodes, videos, config, alone, place, folder, tmp_path, said
):
    """Its actor is in mid-unit, so that its end is seen before Ray knows of the node."""
    cluster, node = two_nodes
    results = []
    (folder / "hang").write_text(node.node_id)

    def drive():
        ray = RayActors(most=2, attempts=1)  # the loss is no attempt with any sample
        results.append(extract_to_place(videos, place, config, ray=ray))

    driver = threading.Thread(target=drive)
    driver.start()
    while driver.is_alive() and not (folder / "hang.found").exists():
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)
    driver.join()
    assert results and results[0].done == 11 and results[0].failures == []
    (lost,) = [line for line in said if "go to others" in line]
    assert lost.startswith("A node was lost, with an actor on ")
    assert merged(place, tmp_path) == alone


def test_two_drivers_at_once(two_nodes, videos, config, alone, place, tmp_path):
    results = []
    drivers = [
        threading.Thread(
            target=lambda: results.append(extract_to_place(videos, place, config, ray=RayActors(most=1)))
        )
        for _ in range(2)
    ]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert [result.done for result in results] == [11, 11]
    assert merged(place, tmp_path) == alone


def test_a_sample_that_kills_fails_by_name_and_alone(cluster, config, place, tmp_path, said):
    """White frames kill the process; the others of its unit have features."""
    from numbered_video import write_numbered_video

    videos = tmp_path / "videos"
    videos.mkdir()
    write_numbered_video(videos / "a.mp4", 40)
    _write_white(videos / "b.mp4", 20)
    rows = [Sample("a1", "a.mp4", 0, 20), Sample("b", "b.mp4", 0, 20), Sample("a2", "a.mp4", 20, 40)]
    write_annotations(videos / "annotations.csv", rows)
    result = extract_to_place(videos, place, config, ray=RayActors(attempts=2))
    ((name, reason),) = result.failures
    assert name == "b" and reason.startswith("b (b.mp4): 2 actors died with it (its process ended")
    assert result.done == 3
    published = merge_place(place, tmp_path / "merged.h5")
    assert published.failures == result.failures and not published.missing


def test_stopped_in_the_middle(cluster, videos, config, alone, place, tmp_path):
    stop = threading.Event()

    def enough(progress):
        if progress.samples >= 2:
            stop.set()

    result = extract_to_place(videos, place, config, progress=enough, stop=stop, ray=RayActors())
    assert result.stopped and 2 <= result.done < 11
    rest = extract_to_place(videos, place, config)  # by this process alone: all do the same
    assert rest.reused == result.done and rest.done == 11
    assert merged(place, tmp_path) == alone


def test_what_actors_do_not_take(cluster, videos, config, place, tmp_path):
    with pytest.raises(AqaError, match="--device cuda:1: Ray gives each actor a GPU of its own"):
        extract_to_place(videos, place, replace(config, device="cuda:1"), ray=RayActors())
    with pytest.raises(
        AqaError, match=f"{os.uname().nodename}: weights .*no.pth' are neither a published name nor a file"
    ):
        extract_to_place(videos, place, replace(config, weights=str(tmp_path / "no.pth")), ray=RayActors())
    with pytest.raises(AqaError, match="the cluster has no node with a GPU yet: say with --threads"):
        extract_to_place(videos, place, replace(config, device="cuda", threads=None), ray=RayActors())


def _write_white(path, frames):
    import av
    import numpy as np

    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        for _ in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 255, np.uint8), format="rgb24")
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
