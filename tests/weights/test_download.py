import contextlib
import gc
import os
import signal
import socket
import threading
from dataclasses import replace

import pytest
import torch
from file_server import Quiet

from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.locks import FileLock
from aqa_cache.disk.tensor_file import sha256_of
from aqa_cache.errors import WeightsError
from aqa_cache.logs import handled
from aqa_cache.weights.download import download, watched_downloads, weights_folder
from aqa_cache.weights.published import WeightsRecord


def test_download_checks_the_published_hash(server, tmp_path, said):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pth")
    sha256 = sha256_of(folder / "w.pth")
    record = WeightsRecord("w", "c3d", f"{url}/w.pth", sha256[:8], "c3d-pytorch", "test")
    path = download(record, tmp_path / "kept")
    assert path.read_bytes() == (folder / "w.pth").read_bytes()
    assert said == [f"Downloading w (test) from {url}/w.pth"]
    assert download(record, tmp_path / "kept") == path and len(said) == 1
    path.write_bytes(b"tampered")
    with pytest.raises(WeightsError, match=f"expected {sha256[:8]}…; delete it"):
        download(record, tmp_path / "kept")
    (folder / "w.pth").write_bytes(b"another")
    with pytest.raises(WeightsError, match="not kept"):
        download(record, tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


def watched(record, folder):
    """What a watcher is told of a download: of its beginning, of every block, and of its end."""
    told = []

    @contextlib.contextmanager
    def watcher(name):
        told.append(name)
        try:
            yield lambda *said: told.append(said)
        finally:
            told.append("over")

    with watched_downloads(watcher), contextlib.suppress(WeightsError):
        download(record, folder)
    return told


def test_how_far_a_download_is_can_be_watched(server, tmp_path, monkeypatch):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(50_000)}, folder / "w.pth")
    size = (folder / "w.pth").stat().st_size
    record = WeightsRecord("w", "c3d", f"{url}/w.pth", "", "c3d-pytorch", "test")
    begun, *blocks, over = watched(record, tmp_path / "kept")
    assert begun == "w" and over == "over"
    assert len(blocks) > 3 and blocks == sorted(set(blocks))
    assert blocks[0] == (0, size) and blocks[-1] == (size, size)
    assert watched(record, tmp_path / "kept") == []  # it is there
    assert watched(replace(record, url=f"{url}/gone.pth"), tmp_path / "kept") == ["w", "over"]
    monkeypatch.setattr(Quiet, "size_known", False)
    begun, *blocks, over = watched(record, tmp_path / "other")
    assert blocks[0] == (0, None) and blocks[-1] == (size, None)
    monkeypatch.undo()
    monkeypatch.setattr(Quiet, "declared", size + 1)
    begun, *blocks, over = watched(record, tmp_path / "third")
    assert blocks[-1] == (size, size + 1) and over == "over"
    assert not list((tmp_path / "third").iterdir())


def test_a_file_without_a_published_hash_is_pinned(server, tmp_path, said):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pickle")
    record = WeightsRecord("w", "c3d", f"{url}/w.pickle", "", "c3d-pytorch", "test")
    path = download(record, tmp_path)
    assert sha256_of(path) in said[1]
    path.unlink()
    (folder / "w.pickle").write_bytes(b"changed")
    with pytest.raises(WeightsError, match="not kept"):
        download(record, tmp_path)


def test_a_page_instead_of_weights_is_not_pinned(server, tmp_path):
    url, folder = server
    (folder / "w.pickle").write_text("<html>moved</html>")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        download(
            WeightsRecord("w", "c3d", f"{url}/w.pickle", "", "c3d-pytorch", ""),
            tmp_path / "kept",
        )
    assert not list((tmp_path / "kept").iterdir())


def test_a_server_that_does_not_answer(server, tmp_path):
    url, _ = server
    with pytest.raises(WeightsError, match="cannot be downloaded .*--weights random"):
        download(
            WeightsRecord("w", "c3d", f"{url}/gone.pth", "", "c3d-pytorch", ""),
            tmp_path,
        )
    assert not list(tmp_path.glob("*.pth*"))


def test_weights_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("AQA_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path


@contextlib.contextmanager
def answering(answer, wait=None):
    """A server that sends `answer` to everybody, and then a byte now and then until `wait` is set."""

    def serve():
        while True:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)
                    while wait is not None and not wait.wait(0.1):
                        connection.sendall(b"x")
            if listening.fileno() < 0:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/w.pth"
        listening.shutdown(socket.SHUT_RDWR)


def record_of(url, sha256=""):
    return WeightsRecord("w", "c3d", url, sha256, "c3d-pytorch", "test")


HOSTILE = {
    "words": b"Content-Length: abc\r\n\r\n<html>",
    "exponent": b"Content-Length: 1e9\r\n\r\n<html>",
    "empty": b"Content-Length: \r\n\r\n<html>",
    "doubled": b"Content-Length: 6\r\nContent-Length: 7\r\n\r\n<html>",
    "listed": b"Content-Length: 6, 6\r\n\r\n<html>",
    "negative": b"Content-Length: -1\r\n\r\n<html>",
    "endless": b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n<html>",
    "too much": b"Content-Length: 999999999999\r\n\r\n<html>",
    "chunks": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}
PLACES = b"http://[::1/w http://a..b/ file:///etc/passwd http://127.0.0.1:99999/ x:y".split()
ANSWERS = {f"length: {name}": b"HTTP/1.1 200 OK\r\n" + rest for name, rest in HOSTILE.items()} | {
    f"redirect: {place}": b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\n\r\n"
    for place in (*PLACES, b"")
}
ANSWERS |= {"nothing": b"", "no HTTP": b"\x00\xff" * 50, "long": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # urllib's own sockets
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_whatever_a_server_answers_is_one_message_and_nothing_is_kept(tmp_path, answer):
    with answering(answer) as url, pytest.raises(WeightsError) as raised:
        download(record_of(url), tmp_path / "kept")
    said = str(raised.value)
    del raised  # with it what urllib left open, or it is collected in another test
    gc.collect()
    assert said.startswith("w: ") and not list((tmp_path / "kept").iterdir())


@pytest.fixture
def kept(tmp_path):
    """A folder that holds the weights, without their hash, and where they are not served."""
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "w.pth")
    return tmp_path / "w.pth", "http://127.0.0.1:9/w.pth"


def test_hashes_are_compared_without_case(kept):
    path, url = kept
    sha256 = sha256_of(path).upper()
    assert download(record_of(url, sha256[:12]), path.parent) == path
    path.with_name("w.pth.sha256").write_text(sha256 + "\r\n")
    assert download(record_of(url), path.parent) == path


@pytest.mark.parametrize("pin", [b"\xff\xfe" * 40, b"", b"abc", b"z" * 64, b"0" * 10**6, None])
def test_a_pin_that_is_none_is_named(kept, pin):
    path, url = kept
    place = path.with_name("w.pth.sha256")
    place.write_bytes(pin) if pin is not None else place.mkdir()
    with pytest.raises(WeightsError, match=r"w\.pth\.sha256: holds no SHA-256"):
        download(record_of(url), path.parent)


def test_what_lies_there_without_a_hash_is_read_before_it_is_pinned(kept):
    path, url = kept
    path.write_bytes(b"<html>")
    with pytest.raises(WeightsError, match=r"w\.pth: cannot be read as weights \(") as raised:
        download(record_of(url), path.parent)
    assert "weights_only" not in str(raised.value) and not path.with_name("w.pth.sha256").exists()


def in_a_circle(path):
    path.symlink_to(path)


@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo, in_a_circle, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_in_the_place_of_one_is_named(tmp_path, put):
    put(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: is .*, expected a file of weights; remove it"):
        download(record_of("http://127.0.0.1:9/w.pth"), tmp_path)
    (tmp_path / "folder").symlink_to(tmp_path / "folder")
    with pytest.raises(WeightsError, match="folder"):
        download(record_of("http://127.0.0.1:9/w.pth"), tmp_path / "folder")


def test_what_a_killed_download_left_is_removed_by_the_next(server, tmp_path):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pth")
    names = (".w.pth.mine.tmp", ".other.pth.12345678.tmp", ".w.pth.abc.12345678.tmp")
    mine = [tmp_path / name for name in names]
    with contextlib.suppress(KeyboardInterrupt), replacing(tmp_path / "w.pth") as temporary:
        raise KeyboardInterrupt
    for left in (temporary, tmp_path / ".w.pth.lock", *mine):
        left.touch()
    path = download(record_of(f"{url}/w.pth"), tmp_path)
    left = {file for file in tmp_path.iterdir() if file.is_file()}
    assert left == {*mine, path, path.with_name("w.pth.sha256")}


def test_of_two_processes_one_downloads(server, tmp_path):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pth")
    other = FileLock(tmp_path / ".w.pth.lock")
    assert other.acquire()
    said = []

    def hear(record):
        said.append(record.getMessage())
        (tmp_path / "w.pth").write_bytes((folder / "w.pth").read_bytes())  # meanwhile
        other.release()

    with handled(hear):
        download(record_of("http://127.0.0.1:9/w.pth", sha256_of(folder / "w.pth")), tmp_path)
    assert len(said) == 1 and said[0].startswith("Waiting for process ")


def test_one_interruption_ends_a_download_that_drips(tmp_path):
    """As `aqa-extract` has it, which otherwise finishes what is under way."""
    from aqa_cli.interruption import Stop, stop_on_signals
    from aqa_cli.progress import extraction_progress

    stop, ended = Stop(), threading.Event()

    def interrupt(record):
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    with answering(b"HTTP/1.1 200 OK\r\n\r\n", ended) as url, pytest.raises(KeyboardInterrupt):
        with stop_on_signals(stop, ""), extraction_progress(stop.nothing_under_way), handled(interrupt):
            download(record_of(url), tmp_path / "kept")
    ended.set()
    assert stop.exit_code == 143 and not list((tmp_path / "kept").iterdir())
    with pytest.raises(KeyboardInterrupt), stop.nothing_under_way():
        pass
