"""Files that are cut or have lost bytes, in every container: frames that come must show their own number, and
what is missing must be said; and jumping must give what decoding everything gives. Into RESULTS.md.

python benchmarks/media_laws.py --places 60 --seed 3
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from results import write_section

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from jumping_law import check_jumps
from media_law import KINDS, cut, outcome, without_bytes, write_media

FRAMES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--places", type=int, default=20, help="cuts, and losses of 1500 bytes, of each file")
    parser.add_argument("--seed", type=int, default=0, help="of the places")
    options = parser.parse_args()
    rows, started, broken = [], time.perf_counter(), []
    files = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            cells = []
            for sound in (False, True):
                whole = write_media(Path(folder) / "whole", kind, FRAMES, sound)
                assert outcome(whole).frames == FRAMES and outcome(whole).holds(FRAMES), kind
                rng = random.Random(options.seed)
                for change in (cut, without_bytes):
                    wrong = silent = 0
                    for _ in range(options.places):
                        part = rng.uniform(0.05, 0.99)
                        got = outcome(change(whole, part))
                        files += 1
                        wrong += bool(got.wrong)
                        silent += not got.wrong and not got.holds(FRAMES)
                        if not got.holds(FRAMES):
                            broken.append(f"{kind}, sound {sound}, {change.__name__} at {part:.4f}: {got}")
                    cells.append(f"{wrong} / {silent}")
                decoded, plain, _ = check_jumps(whole, trials=6)
            rows.append(f"| {kind} | " + " | ".join(cells) + f" | {decoded / plain:.2f} |")
            print(rows[-1], flush=True)
    print("\n".join(broken))
    lines = [
        (
            f"Numbered videos of {FRAMES} frames, with and without sound, each cut at {options.places} random"
            f" places and robbed of 1500 bytes at as many: {files} files in"
            f" {time.perf_counter() - started:.0f} s. A file counts as wrong if a frame does not show its"
            " number, as silent if frames are missing and nothing is said; the cells are wrong / silent. The"
            " last column is the law of jumping on the whole file with sound: it held, and decoded this part"
            " of the pictures."
        ),
        "",
        "| kind | cut | lost bytes | cut, with sound | lost bytes, with sound | decoded with jumps |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    command = f"python benchmarks/media_laws.py --places {options.places} --seed {options.seed}"
    write_section("media-laws", "Files that are not whole", command, lines)


if __name__ == "__main__":
    main()
