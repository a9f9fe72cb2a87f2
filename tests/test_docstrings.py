"""The examples in docstrings are true, all of them."""

import doctest
import importlib
import re

import pytest
from places import PACKAGES, ROOT

WITH_EXAMPLES = {
    ".".join([package, *path.relative_to(folder).with_suffix("").parts]): path
    for package, folder in PACKAGES.items()
    for path in sorted(folder.rglob("*.py"))
    if ">>>" in path.read_text()
}
# What these import has an extra of its own.
OF_EXTRAS = "aqa_cli.app."


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.extra if name.startswith(OF_EXTRAS) else ())
        for name in WITH_EXAMPLES
    ],
)
def test_examples_in_docstrings_are_true(name):
    found = doctest.testmod(importlib.import_module(name))
    prompts = re.findall(r"^\s*>>> ", WITH_EXAMPLES[name].read_text(), re.M)
    assert not found.failed
    assert found.attempted == len(prompts), "an example is where doctest does not look"


def test_examples_are_found():
    """Fewer than today would mean that they are no longer looked for in the right place."""
    assert len(WITH_EXAMPLES) >= 15 and (ROOT / "aqa_heads/evaluation/metrics.py") in WITH_EXAMPLES.values()
