"""Archives of others: what is no plain archive of known files is refused before anything is written."""

import stat
import struct
import zipfile

import pytest

from aqa_cache.disk.zip_file import MOST_FILES, read_member, unpack, write_zip
from aqa_cache.errors import AqaError


def known(name):
    return name.endswith((".txt", ".safetensors"))


def entry(name, mode=stat.S_IFREG | 0o644, kind=zipfile.ZIP_STORED):
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name  # as it is, whatever it is
    info.external_attr, info.compress_type = mode << 16, kind
    return info


def archive(path, *entries):
    """An archive of (entry, content)."""
    with pytest.MonkeyPatch.context() as patch, zipfile.ZipFile(path, "w") as file:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of a name that is there twice
        for info, content in entries:
            file.writestr(info if isinstance(info, zipfile.ZipInfo) else entry(info), content)
    return path


def everything_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_unpacked_and_equal_files_give_equal_archives(tmp_path):
    (tmp_path / "a.txt").write_text("a" * 10_000)
    (tmp_path / "b.safetensors").write_bytes(bytes(range(256)) * 50)
    files = {"runs/1/a.txt": tmp_path / "a.txt", "b.safetensors": tmp_path / "b.safetensors"}
    write_zip(tmp_path / "one.zip", files)
    write_zip(tmp_path / "two.zip", files)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    assert unpack(tmp_path / "one.zip", out, known) == list(files)
    for name, source in files.items():
        assert (out / name).read_bytes() == source.read_bytes()
    assert read_member(tmp_path / "one.zip", "runs/1/a.txt", 10_000) == b"a" * 10_000
    assert read_member(tmp_path / "one.zip", "none.txt", 10) is None


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("../out.txt", "x")], "could lie outside"),
        ([("a/../../out.txt", "x")], "could lie outside"),
        ([("/tmp/out.txt", "x")], "could lie outside"),
        ([("C:\\out.txt", "x")], "could lie outside"),
        ([("a\\..\\out.txt", "x")], "could lie outside"),
        ([("a//b.txt", "x")], "could lie outside"),
        ([("a.txt\0.py", "x")], "could lie outside"),
        ([("folder/", "")], "could lie outside"),
        ([(".hidden.txt", "x")], "could lie outside"),
        ([("a.txt", "x"), (entry("link.txt", stat.S_IFLNK | 0o777), "/etc/passwd")], "is a link"),
        ([(entry("pipe.txt", stat.S_IFIFO | 0o644), "")], "is a link or no plain file"),
        ([("a.txt", "x"), ("a.txt", "y")], "has a.txt twice"),
        ([("a.txt", "x"), ("A.txt", "y")], "has A.txt twice"),
        ([("a.txt", "x"), ("a.txt/b.txt", "y")], "as a file and as a folder"),
        ([("a.txt", "x"), ("code.py", "y")], "code.py, which is none of a model"),
        ([(entry("a.txt", kind=zipfile.ZIP_DEFLATED), bytes(10**8))], "more than a model's can be"),
        ([(entry("a.txt", kind=zipfile.ZIP_BZIP2), b"x")], "packed in another way"),
    ],
)
def test_an_archive_that_is_not_to_be_trusted_is_refused_whole(tmp_path, entries, message):
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    archive(tmp_path / "a.zip", *entries)
    with pytest.raises(AqaError, match=message):
        unpack(tmp_path / "a.zip", out, known)
    assert everything_in(tmp_path) == {"a.zip"}


def changed(path, change):
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    """The archive would be larger unpacked than the limit on its gain allows, one file at a time."""
    path = archive(tmp_path / "a.zip", ("a.txt", b"x" * 5000), ("b.txt", b"y" * 5000))

    def overlap(data):
        first, second = (data.find(b"PK\x01\x02", start) for start in (0, data.find(b"PK\x01\x02") + 1))
        for place in (first, second):
            data[place + 20 : place + 28] = struct.pack("<2L", 9000, 9000)

    changed(path, overlap)
    with pytest.raises(AqaError, match="more than a model's can be"):
        unpack(path, tmp_path, known)


def test_a_file_that_is_larger_than_it_says_is_damage(tmp_path):
    path = archive(tmp_path / "a.zip", (entry("a.txt", kind=zipfile.ZIP_DEFLATED), b"x" * 100_000))

    def lie(data):
        place = data.find(b"PK\x01\x02")
        data[place + 24 : place + 28] = struct.pack("<L", 10)

    changed(path, lie)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(AqaError, match="is damaged"):
        unpack(path, out, known)
    assert not (out / "a.txt").exists() or (out / "a.txt").stat().st_size <= 10


def test_a_directory_of_any_size_is_not_read(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.zip", ("a.txt", "x"))
    changed(path, lambda data: data.__setitem__(slice(-14, -10), struct.pack("<2H", *[MOST_FILES + 1] * 2)))
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(AqaError, match="expected at most"):
        unpack(path, tmp_path, known)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive" * 100])
def test_what_is_no_archive_is_said(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(AqaError, match="is no zip archive"):
        unpack(tmp_path / "a.zip", tmp_path, known)


def test_half_an_archive_and_a_changed_byte_are_said(tmp_path):
    path = archive(tmp_path / "a.zip", ("a.txt", "x" * 5000))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AqaError, match="is no zip archive"):
        unpack(path, tmp_path, known)
    path.write_bytes(whole.replace(b"xxxxx", b"xxyxx", 1))
    with pytest.raises(AqaError, match="is damaged"):
        unpack(path, tmp_path, known)


def test_any_changed_byte_of_a_packed_file_is_damage(tmp_path):
    """`zlib` has errors of its own, which are none of `zipfile`'s."""
    text = bytes(range(256)) * 8
    path = archive(tmp_path / "a.zip", (entry("a.txt", kind=zipfile.ZIP_DEFLATED), text))
    whole, start = path.read_bytes(), 30 + len("a.txt")
    for place in range(start, whole.find(b"PK\x01\x02")):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            unpack(path, tmp_path / str(place), known)
            assert read_member(path, "a.txt", 9999) == text, "a bit that nothing is made of"
        except AqaError as error:
            assert "is damaged" in str(error)
            with pytest.raises(AqaError, match="is damaged"):
                read_member(path, "a.txt", 9999)


def test_one_file_of_an_archive_is_not_read_where_it_is_packed_in_another_way(tmp_path):
    path = archive(tmp_path / "a.zip", (entry("a.txt", kind=zipfile.ZIP_LZMA), b"x"))
    with pytest.raises(AqaError, match="packed in another way"):
        read_member(path, "a.txt", 10)


def test_a_full_disk_is_one_message(tmp_path, monkeypatch):
    import errno

    path = archive(tmp_path / "a.zip", ("a.txt", "x" * 5000))
    out = tmp_path / "out"
    out.mkdir()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("aqa_cache.disk.zip_file._write", full)
    with pytest.raises(AqaError, match="No space left"):
        unpack(path, out, known)
