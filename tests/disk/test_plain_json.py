import json

import pytest

from aqa_cache.disk.plain_json import parse_json


def test_what_json_has_is_read():
    content = {"a": [1, -(2**63), 2.5, None, True, "é"], "b": {}}
    assert parse_json(json.dumps(content)) == content


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "[Infinity]", "1e999", "9" * 5000, str(2**63), '"\\ud800"', '{"\\udfff": 1}', "", "{"),
        *("[" * 100_000, "[" * 40 + "]" * 40, '{"a":' * 40 + "1" + "}" * 40),
    ],
)
def test_what_no_json_is_or_nothing_can_be_is_refused(text):
    with pytest.raises(ValueError):
        parse_json(text)
