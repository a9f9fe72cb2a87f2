from types import SimpleNamespace

from aqa_cli import train, train_table
from aqa_heads.report.records import FloorMetrics
from aqa_heads.report.wording import signed


def family(error, rho=0.5):
    return SimpleNamespace(floors={"training_mean": FloorMetrics(spearman=rho, relative_l2=error)})


def test_floors_that_differ_by_rounding_are_one():
    assert train_table._same_floors(family(0.1 + 0.2), family(0.3))
    assert not train_table._same_floors(family(0.31), family(0.3))
    assert not train_table._same_floors(family(0.3, None), family(0.3))
    assert not train_table._same_floors(SimpleNamespace(floors={}), family(0.3))


def test_what_rounds_to_0_has_no_sign():
    assert train_table._number(-1e-9, 3) == signed(-1e-9) == "0.000"
    assert train_table._number(-0.4, 1) == "-0.4" and signed(-0.4, 1) == "−0.4"


def test_a_note_says_of_how_many_runs_of_its_row_it_is():
    runs = [
        SimpleNamespace(config={"label": label}, summary={"notes": notes})
        for label, notes in [("Ridge", ["a"]), ("Default", ["a", "b"]), ("Default", ["b"])]
    ]
    assert train._notes(runs) == ["Ridge: a", "Default, 1 of 2 runs: a", "Default: b"]
