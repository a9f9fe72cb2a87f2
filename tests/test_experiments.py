from aqa_heads.experiments import EXPERIMENTS


def test_rows_are_those_of_table_1():
    rows = [(row.title, row.backbone, row.rnn, row.layers, row.attention, row.encoder) for row in EXPERIMENTS.values()]
    assert rows == [
        ("Baseline", "c3d", "gru", 2, "none", "average"),
        ("Exp 1", "c3d", "gru", 2, "linear", "average"),
        ("Exp 2", "s3d", "gru", 2, "none", "average"),
        ("Exp 3", "s3d", "gru", 2, "linear", "average"),
        ("Exp 4", "c3d", "gru", 8, "linear", "average"),
        ("Exp 5", "c3d", "lstm", 8, "linear", "average"),
        ("Exp 6", "c3d", "lstm", 2, "linear", "average"),
        ("Exp 7", "c3d", "gru", 2, "linear", "lstm"),
    ]
    assert [row.folder for row in EXPERIMENTS.values()] == ["baseline", *(f"exp{number}" for number in range(1, 8))]
