"""Runs that are interrupted, and what they leave."""

import json


class Interrupt:
    """Ctrl-C in the middle of an epoch, or wherever it is called."""

    def __init__(self, after: int):
        self.left = after

    def __call__(self, epoch):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def files(folder):
    """The files of a run without what only time and memory decide."""
    found = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        if path.name == "metrics.csv":
            content = [line.rsplit(",", 1)[0] for line in content.decode().splitlines()]
        elif path.name == "summary.json":
            content = json.loads(content)
            del content["seconds"], content["peak_memory_bytes"]
        elif path.name == "config.json":
            content = json.loads(content)
            del content["files"]  # whose sums depend on both
        found[path.name] = content
    return found
