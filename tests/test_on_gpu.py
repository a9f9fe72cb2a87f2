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
PARTS = ["tests", "extraction", "training", "end-to-end"]


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


def test_other_words_are_refused():
    refused = on_gpu("everything")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "unknown: everything; expected wheels, --dry-run, --list, or any of tests"
    )


def test_every_dependency_is_fetched_or_expected():
    text, project = SCRIPT.read_text(), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set()
    for name in ("fetched", "expected"):
        named |= set(re.search(rf"^{name}=\((.*?)\)$", text, re.M | re.S)[1].split())
    needed = {re.match(r"[\w.-]+", requirement)[0] for requirement in project["dependencies"]}
    assert needed | {"pytest", "pytest-xdist"} <= named
