"""The formats by name."""

AUTO, TABLE, LABEL_STUDIO, VIA, SPORTSCODE, CVAT = FORMATS = (
    "auto",
    "table",
    "label-studio",
    "via",
    "sportscode",
    "cvat",
)
