import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from places import ROOT

from aqa_cache.errors import AqaError
from aqa_cache.extraction.schedulers import SCHEDULERS, SHARDS
from aqa_cache.extraction.shards import Shard

PAGE = ROOT / "docs" / "clusters.md"
SETS = {  # what the second of four processes is told
    "AWS Batch": {"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "4"},
    "Google Batch": {"BATCH_TASK_INDEX": "1", "BATCH_TASK_COUNT": "4"},
    "Kubernetes": {"JOB_COMPLETION_INDEX": "1", "AQA_SHARDS": "4"},
    "SkyPilot": {"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "4"},
    "PBS": {"PBS_ARRAY_INDEX": "2", "AQA_SHARDS": "4"},
    "LSF": {"LSB_JOBINDEX": "2", "LSB_JOBINDEX_END": "4", "LSB_JOBINDEX_STEP": "1"},
}
BY_NAME = {scheduler.name: scheduler for scheduler in SCHEDULERS}


def test_every_scheduler_is_here_and_in_the_docs():
    assert SETS.keys() == BY_NAME.keys()
    text = PAGE.read_text()
    assert all(scheduler.index in text and scheduler.count in text for scheduler in SCHEDULERS)


@pytest.mark.parametrize("name", SETS)
def test_what_each_scheduler_says(name):
    scheduler, said = BY_NAME[name], SETS[name]
    assert Shard.from_environment(said) == Shard(2, 4, scheduler.index)
    numbers = [
        Shard.from_environment({**said, scheduler.index: str(index + scheduler.first)}).number
        for index in range(4)
    ]
    assert numbers == [1, 2, 3, 4]
    beyond = {**said, scheduler.index: str(4 + scheduler.first)}
    with pytest.raises(AqaError, match=f"{scheduler.index}={4 + scheduler.first}, .*expected a number from"):
        Shard.from_environment(beyond)
    with pytest.raises(AqaError, match="expected numbers"):
        Shard.from_environment({**said, scheduler.index: "second"})
    with pytest.raises(AqaError, match=f"set {SHARDS} to their number|expected numbers"):
        Shard.from_environment({scheduler.index: said[scheduler.index]})


def test_a_job_of_lsf_that_is_no_array_does_everything():
    assert Shard.from_environment({"LSB_JOBINDEX": "0", "LSB_JOBINDEX_END": "0"}) == Shard()
    with pytest.raises(AqaError, match="LSB_JOBINDEX_STEP=2; use an array without gaps"):
        Shard.from_environment({**SETS["LSF"], "LSB_JOBINDEX_STEP": "2"})


def test_torchrun_comes_first():
    both = {**SETS["SkyPilot"], "RANK": "9", "WORLD_SIZE": "16"}
    assert Shard.from_environment(both) == Shard(10, 16, "RANK and WORLD_SIZE")


def run(arguments, environment):
    kept = {name: value for name, value in os.environ.items() if not re.match("RANK|WORLD|SLURM", name)}
    return subprocess.run(
        [sys.executable, "-m", "aqa_cli.extract", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, **environment},
        timeout=600,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AWS Batch", "Kubernetes"])
def test_the_command_shows_which_variable_decides_and_shard_overrides_it(name, videos, random_s3d, tmp_path):
    settings = ["--weights", str(random_s3d), "--size", "32", "--batch-size", "4", "--workers", "1"]
    place = (tmp_path / "parts").as_uri()
    environment = {**SETS[name], "AQA_CACHE": str(tmp_path / "cache")}
    first = run([*settings, str(videos), place], environment)
    assert first.returncode == 0, first.stderr
    assert f"of shard 2/4 (from {BY_NAME[name].index}; --shard 1/1 does everything)" in first.stderr
    whole = run([*settings, "--shard", "1/1", str(videos), place], environment)
    assert whole.returncode == 0 and "shard" not in whole.stderr, whole.stderr


def recipes(kind):
    """The blocks of a kind in the docs, each with what stands in its first line."""
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.M | re.S)


@pytest.mark.parametrize("block", recipes("sh"))
def test_scripts_of_the_docs_are_shell(block):
    result = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("block", recipes("json"))
def test_job_descriptions_of_the_docs_are_json(block):
    assert json.loads(block)


@pytest.mark.parametrize("block", recipes("(?:sh|json|yaml)"))
def test_the_docs_give_options_that_there_are(block):
    from aqa_cli.data_merge import merge
    from aqa_cli.extract import main

    known = {name for command in (main, merge) for option in command.params for name in option.opts}
    for line in block.replace("\\\n", " ").splitlines():
        for call in re.findall(r"aqa-(?:extract|data merge)[^\"'|&;]*", line):
            words = shlex.split(call.split(" #")[0], comments=True)
            assert {word for word in words if word.startswith("--")} <= known, call


def test_manifests_of_the_docs_say_of_how_many_there_are():
    yaml = pytest.importorskip("yaml")
    job, sky = map(yaml.safe_load, recipes("yaml"))
    variables = {one["name"]: one["value"] for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables[SHARDS] == str(job["spec"]["completions"]) and job["spec"]["completionMode"] == "Indexed"
    assert sky["num_nodes"] == 8 and sky["run"].startswith("aqa-extract")
