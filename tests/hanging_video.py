"""A video at one of whose frames the decoder hangs."""

import threading
from contextlib import contextmanager

from aqa_cache.video import reader
from aqa_cache.video.threads import _Worker


@contextmanager
def hanging(monkeypatch, name, index):
    """In the block, decoding of the video `name` hangs at frame `index`.

    No other thread is taken for one that hangs: on a busy machine any may stand still for half a second.
    """
    release, hung = threading.Event(), []
    decode, stands_still = reader.decode, _Worker.stands_still

    def hang(path, *arguments, **options):
        for frame in decode(path, *arguments, **options):
            if path.name == name and frame.index == index:
                hung.append(threading.current_thread())
                release.wait()
            yield frame

    monkeypatch.setattr(reader, "decode", hang)
    monkeypatch.setattr(
        _Worker, "stands_still", lambda worker, *waited: worker in hung and stands_still(worker, *waited)
    )
    try:
        yield
    finally:
        release.set()
