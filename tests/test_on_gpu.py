"""benchmarks/on_gpu.sh, on a machine without a GPU: what it would run exists."""

import ast
import os
import re
import shlex
import subprocess
import tomllib

import pytest
from places import ROOT

SCRIPT = ROOT / "benchmarks" / "on_gpu.sh"
PARTS = ["extraction", "training", "end-to-end", "tests"]


def on_gpu(*arguments, **variables):
    return subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


def commands(*arguments):
    listed = on_gpu("--list", *arguments)
    assert listed.returncode == 0, listed.stderr
    return [shlex.split(line.removeprefix("+ python ")) for line in listed.stdout.splitlines()]


def options_of(script):
    """Names of the options that a script takes, and what each may be where that is a list."""
    options = {}
    for call in ast.walk(ast.parse((ROOT / script).read_text())):
        name = getattr(getattr(call, "func", None), "attr", None)
        if name in ("add_argument", "option") and isinstance(call.args[0], ast.Constant):
            choices = [word.value for word in call.keywords if word.arg == "choices"]
            options[call.args[0].value] = ast.literal_eval(choices[0]) if choices else None
    return options


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_every_command_exists_with_the_options_that_it_is_given(dry_run):
    for words in commands(*dry_run):
        if words[0] == "-m":
            assert words[1:4] == ["pytest", "-m", "gpu"]
            continue
        known = options_of(words[0])
        flags = [word for word in words if word in ("--deterministic", "--compiled", "--profile")]
        assert set(flags) <= options_of(words[0]).keys()
        words = [word for word in words if word not in flags]
        pairs = list(zip(words[1::2], words[2::2], strict=True))
        for name, value in pairs:
            assert name in known, f"{words[0]} has no option {name}"
            assert known[name] is None or value in known[name]
        assert dict(pairs)["--device"] == ("cpu" if dry_run else "cuda")


def test_the_dry_run_has_every_benchmark_of_the_real_one():
    def benchmarks(*arguments):
        return [{words[0] for words in commands(*arguments, part)} for part in PARTS]

    assert benchmarks() == benchmarks("--dry-run")
    assert commands() == [command for part in PARTS for command in commands(part)]


def test_all_parts_fit_into_fourteen_minutes():
    text = SCRIPT.read_text()
    limits = dict(re.findall(r"\[([\w-]+)\]=(\d+)", text))
    assert list(limits) == PARTS and sum(map(int, limits.values())) < 14 * 60 - 30
    for part in PARTS:
        body = re.search(rf"^part_{part}\(\) {{\n(.*?)^}}$", text, re.M | re.S)[1]
        steps = re.findall(r"\brun (\d+) ", body)
        assert len(steps) == len(commands(part)) and int(limits[part]) <= sum(map(int, steps)) + 10


def test_other_words_are_refused():
    refused = on_gpu("everything")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "unknown: everything; expected wheels, --dry-run, --list, or any of extraction"
    )


def test_every_dependency_is_fetched_or_expected():
    text, project = SCRIPT.read_text(), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set()
    for name in ("fetched", "expected"):
        named |= set(re.search(rf"^{name}=\((.*?)\)$", text, re.M | re.S)[1].split())
    needed = {re.match(r"[\w.-]+", requirement)[0] for requirement in project["dependencies"]}
    assert needed - {"openvino"} | {"pytest", "pytest-xdist"} <= named
