from aqa_cache.keypoints.sample_features import BACKBONES
from aqa_heads.settings.experiments import ATTENTIONS, ENCODERS, EXPERIMENTS, REFERENCES, RNNS, TASKS


def test_rows_are_those_of_table_1():
    rows = [
        (row.title, row.backbone, row.rnn, row.layers, row.attention, row.encoder)
        for row in EXPERIMENTS.values()
    ]
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
    assert [row.folder for row in EXPERIMENTS.values()] == [
        "baseline",
        *(f"exp{number}" for number in range(1, 8)),
    ]


def test_references_are_for_scores_and_have_no_captioner():
    assert [(row.folder, row.title, row.closed_form) for row in REFERENCES.values()] == [
        ("ridge", "Ridge", True),
        ("c3d-svr", "C3D-SVR", True),
        ("c3d-lstm", "C3D-LSTM", False),
        ("pose-dct-svr", "Pose+DCT+SVR", True),
        ("pose-dct-svr-normalised", "Pose+DCT+SVR, normalised", True),
    ]
    assert all(
        row.tasks == ("score",) and row.rnn is row.layers is row.attention is None
        for row in REFERENCES.values()
    )
    assert not set(REFERENCES) & set(EXPERIMENTS)


def test_every_row_is_made_of_known_parts():
    for row in (*EXPERIMENTS.values(), *REFERENCES.values()):
        assert row.encoder in ENCODERS and row.rnn in (*RNNS, None) and row.attention in (*ATTENTIONS, None)
        assert row.backbone in ("c3d", "s3d", None, *BACKBONES.values()) and set(row.tasks) <= set(TASKS)
