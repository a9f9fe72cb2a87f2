"""Where the packages and the test data lie."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = {"aqa_cache": ROOT / "aqa_cache", "aqa_heads": ROOT / "aqa_heads", "aqa_cli": ROOT / "cli"}
DATA = Path(__file__).parent / "data"
MEDIA = DATA / "media"
MTL_AQA = Path(os.environ.get("AQA_MTL_AQA", ROOT.parent / "shared" / "mtl_aqa"))
