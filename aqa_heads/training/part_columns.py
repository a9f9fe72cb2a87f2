"""Which columns of an `Epoch` are of which part of the model."""

_TRAINED = {
    "assessment": ("train_score_loss", "train_class_loss"),
    "captioner": ("train_caption_loss", "train_caption_loss_per_token"),
}
_MEASURED = {
    "assessment": (
        "val_spearman",
        "val_relative_l2",
        "val_class_accuracy",
        "test_spearman",
        "test_relative_l2",
    ),
    "captioner": ("val_caption_loss_per_token",),
}


def columns_of(part: str, trained: bool) -> tuple[str, ...]:
    """The columns of an `Epoch` that a part fills in: its losses while it is `trained`, or what is measured
    after.
    """
    columns = _TRAINED if trained else _MEASURED
    return columns["assessment"] + columns["captioner"] if part == "model" else columns[part]
