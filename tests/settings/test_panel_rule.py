import pytest

from aqa_heads.errors import TrainingError
from aqa_heads.settings.panel_rule import PanelRule
from aqa_heads.settings.training import TrainingConfig

MARKS = [5.0, 9.0, 6.0, 7.5, 7.0, 8.0, 6.5]


@pytest.mark.parametrize(
    ("rule", "judges", "expected"),
    [
        (None, 3, 20.0),  # 5 + 6 + 9, all of them
        (None, 5, 20.5),  # 6 + 7 + 7.5
        (None, 7, 21.0),  # 6.5 + 7 + 7.5
        (None, 4, None),
        (None, 0, None),
        ("mean", 4, 6.875),
        ("mean", 0, None),
        ("middle-2", 4, 13.5),  # 6 + 7.5
        ("middle-3", 4, None),
        ("middle-5", 3, None),
        ("middle-7", 7, 49.0),
    ],
)
def test_scores_of_panels_by_hand(rule, judges, expected):
    assert PanelRule(rule).score(MARKS[:judges]) == expected


@pytest.mark.parametrize("rule", ["median", "middle", "middle-0", "middle-x", "", 3])
def test_another_rule_is_an_error(rule):
    with pytest.raises(TrainingError, match=r"panel_rule is .*, expected mean, or middle-N"):
        TrainingConfig("", score_head="judges", panel_rule=rule)
