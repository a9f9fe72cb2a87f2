import datetime

import fsspec
import pytest
from faulty_store import BUSY, DENIED, EXPIRED, SKEWED, stores

from aqa_cache.errors import AqaError, MissingDependency
from aqa_cache.remote.place import Place
from aqa_cache.remote.trouble import ATTEMPTS, StoreError


class Answered(Exception):
    """As errors of Azure's library: the status, and no word that means anything."""

    def __init__(self, status):
        super().__init__("Operation returned an invalid status")
        self.status_code = status


@pytest.fixture
def store(monkeypatch):
    with stores(monkeypatch) as faulty:
        yield faulty


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(b"0123456789" * 100)
    return path


@pytest.mark.parametrize("kind", ["memory", "faulty", "file"])
def test_what_is_put_is_listed_and_comes_back(store, file, tmp_path, kind):
    place = Place(f"file://{tmp_path}/place" if kind == "file" else f"{kind}://place")
    assert place.items() == []
    place.put(file, "a/b.h5")
    place.put(file, "c.h5")
    place.put(file, "c.h5")  # again: the same
    items = place.items()
    assert [(item.name, item.size) for item in items] == [("a/b.h5", 1000), ("c.h5", 1000)]
    now = datetime.datetime.now().timestamp() * 1e9
    assert all(abs(item.modified_ns - now) < 3600e9 for item in items)
    assert [place.item(name) for name in ("a/b.h5", "c.h5")] == items
    assert [place.item(name) for name in ("a", "b.h5", "a/c.h5", "x/y", "../c.h5", "")] == [None] * 6
    place.get(items[0], tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert place.head("c.h5", 4) == b"0123"
    place.remove("c.h5")
    place.remove("c.h5")
    assert [item.name for item in place.items()] == ["a/b.h5"]


def test_a_file_that_goes_while_it_is_listed_is_not_there(file, tmp_path, monkeypatch):
    """As what another process is just writing under a name for the time being."""
    place, folder = Place(f"file://{tmp_path}/place"), tmp_path / "place"
    for name in ("a.h5", "b.h5"):
        place.put(file, name)
    find = place._files.find

    def and_it_goes(*arguments, **options):
        found = find(*arguments, **options)
        (folder / "a.h5").unlink()
        return found

    monkeypatch.setattr(place._files, "find", and_it_goes)
    assert [item.name for item in place.items()] == ["b.h5"]


def test_a_store_without_whole_uploads_gets_a_temporary_name_first(store, file, monkeypatch):
    monkeypatch.setattr("aqa_cache.remote.place._WHOLE", set())
    place = Place("memory://place")
    moved = []
    monkeypatch.setattr(
        type(place._files),
        "mv",
        lambda files, one, other: (
            moved.append(one) or files.pipe_file(other, files.cat_file(one)) or files.rm_file(one)
        ),
    )
    place.put(file, "a.h5")
    assert [item.name for item in place.items()] == ["a.h5"] and moved[0].endswith(".putting")
    fsspec.filesystem("memory").pipe_file("/place/b.h5.0000.putting", b"half")
    assert [item.name for item in place.items()] == ["a.h5"]


@pytest.mark.parametrize("kind", ["find", "put", "get", "head"])
def test_a_store_that_is_busy_is_asked_again(store, file, tmp_path, kind):
    place = Place("faulty://place")
    place.put(file, "a.h5")
    (item,) = place.items()
    store.faults = {kind: [BUSY] * (ATTEMPTS - 1)}
    place.put(file, "b.h5")
    assert len(place.items()) == 2
    place.get(item, tmp_path / "back")
    place.head("a.h5", 1)
    assert not store.faults[kind]
    store.faults = {"find": [BUSY] * ATTEMPTS}
    with pytest.raises(StoreError, match=f"cannot list it: the store failed {ATTEMPTS} times, .*SlowDown"):
        place.items()


def test_an_upload_that_ended_early_is_made_again(store, file):
    place = Place("faulty://place")
    store.cut = 2
    place.put(file, "a.h5")
    assert place.items()[0].size == 1000 and store.asked["put"] == 3
    store.cut = ATTEMPTS
    with pytest.raises(StoreError, match="999 of 1000 bytes are there after an upload"):
        place.put(file, "a.h5")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EXPIRED, "the credentials have expired; renew them"),
        (SKEWED, "this machine's clock is wrong"),
        (DENIED, "no permission"),
        (
            FileNotFoundError("An error occurred (NoSuchBucket): The specified bucket does not exist"),
            "no such bucket",
        ),
        (OSError("Forbidden: b/aqa/o/a.h5\nsomeone has no access"), "no permission"),
        (Answered(401), "no permission"),
        (OSError("Anonymous caller does not have storage.objects.create access"), "there are no credentials"),
        (OSError("Request date header too old"), "this machine's clock is wrong"),
    ],
)
def test_what_a_person_has_to_mend_is_said_at_once(store, file, error, message):
    store.faults = {"put": [error]}
    with pytest.raises(StoreError, match=message):
        Place("faulty://place").put(file, "a.h5")
    assert store.asked["put"] == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [(FileNotFoundError("b/none/o"), "there is no such bucket"), (PermissionError("not this folder"), None)],
)
def test_where_nothing_is_listed_the_bucket_is_asked_for(store, monkeypatch, error, message):
    monkeypatch.setattr("aqa_cache.remote.place._WITH_BUCKETS", {"faulty"})
    place, asked = Place("faulty://place/parts"), []

    def ls(path, **_):
        asked.append(path)
        raise error

    monkeypatch.setattr(place._files, "ls", ls)
    if message:
        with pytest.raises(StoreError, match=message):
            place.items()
    else:  # a right to one folder is enough
        assert place.items() == place.items() == []
    assert [path.strip("/") for path in asked] == ["place"]


@pytest.mark.parametrize("name", ["../a", "a/../b", "/a", "a//b", "", ".", "a\0"])
def test_no_name_leads_out_of_a_place(store, file, name):
    with pytest.raises(AqaError, match="is no name of a file in it"):
        Place("memory://place").put(file, name)


def raising(error):
    def act(*_, **__):
        raise error

    return act


def test_urls_that_open_nothing(store, monkeypatch):
    with pytest.raises(AqaError, match="Protocol not known: nosuch.*expected s3://"):
        Place("nosuch://bucket")
    for error, message in (
        (ValueError("Must provide either a connection_string or account_name"), "there are no credentials"),
        (ValueError("Connection string is malformed."), "is malformed.*correct it, or the settings of"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("fsspec.core.url_to_fs", raising(error))
            with pytest.raises(AqaError, match=message):
                Place("az://bucket")
    with pytest.raises(AqaError, match="names no bucket or folder"):
        Place("memory://").items()

    monkeypatch.setattr("fsspec.core.url_to_fs", raising(ImportError("Install s3fs to access S3")))
    with pytest.raises(MissingDependency, match=r"Install s3fs.*pip install 'aqa-cache\[cloud\]'"):
        Place("s3://bucket/parts")
