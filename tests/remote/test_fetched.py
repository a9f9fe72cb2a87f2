import threading

import fsspec
import pytest
from faulty_store import BUSY, EXPIRED, stores

from aqa_cache.errors import AqaError, VideoError
from aqa_cache.remote.fetched import Abandoned, Fetched, parse_size
from aqa_cache.remote.place import Place
from aqa_cache.remote.trouble import StoreError

KB = 1000


@pytest.fixture
def store(monkeypatch):
    with stores(monkeypatch) as faulty:
        files = fsspec.filesystem("faulty", use_listings_cache=False)
        for number in range(6):
            files.pipe_file(f"/place/{number}.mp4", bytes([number]) * KB)
        yield faulty


@pytest.fixture
def fetched(store, tmp_path):
    def opened(most=3 * KB, **options):
        place = Place("faulty://place")
        return Fetched(
            place, {item.name: item for item in place.items()}, most, tmp_path / "cache", **options
        )

    return opened


def on_disk(tmp_path):
    return sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.mp4"))


def test_files_are_at_hand_and_the_bound_holds(fetched, store, tmp_path):
    with fetched() as files:
        for number in [0, 1, 2, 3, 4, 5, 5, 4]:
            with files.at_hand(f"{number}.mp4") as path:
                assert path.read_bytes() == bytes([number]) * KB and path.name == f"{number}.mp4"
                assert path.stat().st_mtime_ns == files._items[path.name].modified_ns
            assert on_disk(tmp_path) <= 3 * KB and files.bytes <= 3 * KB
    assert store.asked["get"] == 6 and not list((tmp_path / "cache").iterdir())


def test_what_is_in_use_stays_and_others_wait(fetched):
    with fetched(2 * KB) as files, files.at_hand("0.mp4") as first, files.at_hand("1.mp4") as second:
        waited = []
        with pytest.raises(Abandoned), files.at_hand("2.mp4", lambda: waited.append(1) or len(waited) < 2):
            pytest.fail("there is no room")
        assert first.exists() and second.exists()


def test_the_next_are_fetched_meanwhile(fetched, store):
    order = [f"{number}.mp4" for number in range(6)]
    with fetched(100 * KB, order=order, ahead=2) as files:
        with files.at_hand("0.mp4"):
            pass
        with files.at_hand("1.mp4"), files.at_hand("2.mp4"):
            assert store.asked["get"] <= 5


def test_several_threads_fetch_a_file_once(fetched, store):
    with fetched() as files:
        seen = []

        def use():
            with files.at_hand("0.mp4") as path:
                seen.append(path.read_bytes())

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen) == 4 and store.asked["get"] == 1


def test_a_fetch_that_fails_is_tried_anew_by_the_next(fetched, store):
    with fetched() as files:
        store.faults = {"get": [BUSY, EXPIRED]}
        with pytest.raises(StoreError, match="expired"), files.at_hand("0.mp4"):
            pass
        with files.at_hand("0.mp4") as path:
            assert path.exists()
        assert files.bytes == KB


def test_what_cannot_be_at_hand(fetched):
    with fetched(KB // 2) as files:
        with pytest.raises(VideoError, match="more than the 500 that may be kept here at once.*--cache-size"):
            files.at_hand("0.mp4").__enter__()
        with pytest.raises(FileNotFoundError):
            files.at_hand("none.mp4").__enter__()


def test_what_a_killed_process_left_is_removed(fetched, tmp_path):
    left, others = tmp_path / "cache" / "fetched-abc", tmp_path / "cache" / "notes"
    for folder in (left, others):
        folder.mkdir(parents=True)
        folder.with_name(f"{folder.name}.lock").write_text("")
    with fetched() as alive, fetched():
        assert not left.exists() and others.exists() and alive._folder.exists()
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"notes", "notes.lock"}


def test_many_that_begin_and_end_at_once_leave_each_other_alone(fetched):
    """Each looks for left folders while others are being made, are in use, and are removed."""
    errors = []

    def use():
        try:
            for _ in range(10):
                with fetched() as files:
                    (files._folder / "kept").write_text("")
                    assert (files._folder / "kept").exists()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.parametrize(("text", "size"), [("500MB", 5e8), ("20 GB", 2e10), ("1.5tb", 1.5e12), ("7", 7)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "1 PB", "1e9", "nan", "9" * 99])
def test_what_is_no_size(text):
    with pytest.raises(AqaError, match="is no size, expected a number with KB, MB, GB or TB"):
        parse_size(text)
