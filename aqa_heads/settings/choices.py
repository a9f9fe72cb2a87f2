"""What can be chosen of a training run, by name."""

ALL_VIEWS = "all"
VIEWS = (ALL_VIEWS, "plain")
PROTOCOLS = ("honest", "paper")
DIFFICULTIES = ("ignore", "multiply")
OFFICIAL_FOLDS = "official"
# Where candidates are trained, in the folder of runs.
CANDIDATES = "candidates"
# What several values can be given of at once.
SWEPT = ("encoder", "score_head", "lr", "weight_decay", "dropout", "batch_size", "epochs")
VALIDATE_ON = AUTO, NEW_GROUPS, KNOWN_GROUPS = "auto", "new-groups", "known-groups"
# With fewer labelled training samples one held-out part says too little, so that many models choose together.
SMALL_DATA, SMALL_DATA_FOLDS = 100, 5
