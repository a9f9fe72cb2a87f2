"""The server: what it takes and refuses, what it says by its OpenAPI document, and what survives."""

import csv
import http.client
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from aqa_cache.annotations import read_annotations

pytestmark = pytest.mark.extra
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from app_server import HANGS, App  # noqa: E402

from aqa_cache.disk.locks import FileLock  # noqa: E402
from aqa_cache.errors import AqaError  # noqa: E402
from aqa_cli.app import api  # noqa: E402
from aqa_cli.app.arrivals import Arrivals  # noqa: E402
from aqa_cli.app.checks import Address  # noqa: E402
from aqa_cli.app.connections import HEADERS_SECONDS  # noqa: E402
from aqa_cli.app.folder import Folder  # noqa: E402
from aqa_cli.app.jobs import MOST_WAITING  # noqa: E402
from aqa_cli.app.server import application  # noqa: E402
from aqa_cli.app.start import main  # noqa: E402
from aqa_cli.app.store import Store  # noqa: E402
from aqa_cli.app.videos import Videos  # noqa: E402
from aqa_heads.scoring.packing import pack  # noqa: E402


@pytest.fixture(scope="module")
def app(trained, tmp_path_factory):
    """One server for all tests that leave it as it is."""
    made = App(trained / "runs", tmp_path_factory.mktemp("app") / "app", "--max-upload", "1")
    yield made
    assert "Traceback" not in made.end()


# What is refused.


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "a@127.0.0.1:{port}", ""]
)
def test_a_foreign_host_is_refused(app, host):
    status, _, content = app.ask("GET", "/", Host=host.format(port=app.port))
    assert status in (400, 421) and b"Score a video" not in content


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/videos?name=a.mp4"), ("POST", "/api/learn")])
def test_a_request_of_another_page_is_refused(app, headers, method, path):
    assert app.ask(method, path, b"x", **headers)[0] == 403
    assert not app.json("GET", "/api/rows")[1]["rows"]


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/previews/..%2f..%2fapp.sqlite",
        "/previews/../app.sqlite",
        "/videos/..%2fapp.sqlite",
        "/videos/%2e%2e",
        "/scores/../../x/",
        "/scores/0000000000000000/..%2f..%2fapp.sqlite",
        "/scores/0000000000000000/scores.json",
        "/models/..%2f..",
        "/clips/..",
        "/api/jobs/..%2fx",
        "/api/rows/0000000000000000",
        "/app.sqlite",
        "//etc/passwd",
        "/parts/..",
        "/static/style.css%00",
    ],
)
def test_no_path_leads_out_of_what_has_an_address(app, path):
    status, headers, content = app.ask("GET", path)
    assert status == 404 and b"SQLite" not in content and b"root:" not in content, (path, content)


def test_every_answer_forbids_what_no_page_needs(app):
    for path in ("/", "/static/home.js", "/api/models", "/nothing"):
        _, headers, _ = app.ask("GET", path)
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers


def test_a_body_that_is_too_large_is_refused(app):
    """Said by its length, or found while it comes."""
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=HANGS)
    connection.putrequest("POST", "/api/videos?name=a.mp4")
    connection.putheader("Content-Length", str(2**21))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and b"is too large" in answer.read()
    connection.close()
    status, content = _chunked(app, 20)
    assert status == 413 and b"is too large" in content
    assert app.ask("PATCH", f"/api/rows/{'0' * 16}", b"[" * (2**20 + 1))[0] == 413
    assert not os.listdir(app.folder / "arriving") and not app.json("GET", "/api/rows")[1]["rows"]


def _chunked(app, pieces):
    """An upload that does not say how large it is."""
    with socket.create_connection(("127.0.0.1", app.port), timeout=HANGS) as sock:
        sock.sendall(
            f"POST /api/videos?name=a.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        try:
            for _ in range(pieces):
                sock.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
            sock.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # it has said no already
        content = b""
        try:
            while piece := sock.recv(2**16):
                content += piece
        except OSError:
            pass
    return int(content.split()[1]), content


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/videos?name=a.sh", b"x", 415),
        ("POST", "/api/videos", b"x", 415),
        ("POST", "/api/videos?name=a.mp4", b"", 400),
        ("POST", "/api/score?name=a.mp4&model=none", b"x", 422),
        ("POST", "/api/score?name=a.mp4&start_frame=-1", b"x", 422),
        ("POST", "/api/score?name=a.mp4&wait=99999", b"x", 422),
        ("PATCH", f"/api/rows/{'0' * 16}", {"version": 1, "changes": {}}, 422),
        ("PATCH", f"/api/rows/{'0' * 16}", {"version": "1", "changes": {}}, 422),
        ("PATCH", f"/api/rows/{'0' * 16}", b"{", 400),
        ("PATCH", f"/api/rows/{'0' * 16}", b"[" * 100_000, 400),
        ("POST", f"/api/rows/{'0' * 16}/remove", {"version": 1}, 422),
        ("POST", f"/api/rows/{'0' * 16}/remove", {"who": "Ann"}, 422),
        ("POST", f"/api/rows/{'0' * 16}/put-back", None, 422),
        ("POST", "/api/learn", {"model": "none"}, 422),
        ("DELETE", "/api/rows", None, 405),
    ],
)
def test_a_mistake_is_one_message(app, method, path, body, status):
    found, said = app.json(method, path, body)
    assert found == status and set(said) == {"error"} and said["error"]
    assert not app.json("GET", "/api/rows")[1]["rows"]


# The token.


def test_another_address_asks_for_the_token(start):
    app = start("--host", "0.0.0.0")
    assert len(app.token) >= 32
    assert app.ask("GET", "/")[0] == 303 and app.ask("GET", "/api/rows")[0] == 401
    assert app.ask("POST", "/api/videos?name=a.mp4", b"x")[0] == 401
    assert app.ask("GET", "/api/rows", Authorization="Bearer wrong")[0] == 401
    assert app.ask("GET", "/api/rows", Authorization=f"Bearer {app.token}")[0] == 200
    assert app.ask("GET", "/login")[0] == 200 and app.ask("GET", "/login?token=wrong")[0] == 403
    status, headers, _ = app.ask("POST", "/login", f"token={app.token}".encode())
    cookie = headers["set-cookie"]
    assert status == 303 and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert app.ask("GET", "/", Cookie=cookie.split(";")[0])[0] == 200
    assert app.ask("GET", "/", Cookie="aqa_app=wrong")[0] == 303
    # A name that somebody else may let point here is none of ours; a number is.
    evil = {"Host": f"evil.example:{app.port}", "Authorization": f"Bearer {app.token}"}
    assert app.ask("GET", "/api/rows", **evil)[0] == 421


def test_on_this_machine_alone_no_token_is_asked_for(app):
    assert app.token is None and app.ask("GET", "/")[0] == 200


# The JSON, by its document.


@pytest.fixture(scope="module")
def said_by(app):
    """Checks an answer against the OpenAPI document."""
    jsonschema = pytest.importorskip("jsonschema")
    status, document = app.json("GET", "/api/openapi.json")
    assert status == 200

    def check(method, path, status, content):
        answers = document["paths"][path][method.lower()]["responses"]
        answer = answers.get(str(status), answers.get("default"))
        schema = answer["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(content)

    return document, check


def test_the_document_is_openapi_and_has_every_route(app, said_by):
    validator = pytest.importorskip("openapi_spec_validator")
    document, _ = said_by
    validator.validate(document)
    routes = {route.path for route in api.routes() if route.path.startswith("/api/")}
    assert routes - {"/api/openapi.json"} == set(document["paths"])


def test_a_video_is_scored_by_the_document(start, said_by, trained, three, tmp_path):
    _, check = said_by
    app = start(runs=trained / "runs")
    status, models = app.json("GET", "/api/models")
    check("GET", "/api/models", status, models)
    (model,) = models["models"]
    archive = tmp_path / "model.zip"
    pack(trained / "runs/ridge", archive)
    status, added = app.json("POST", "/api/models?name=theirs.zip", archive.read_bytes())
    check("POST", "/api/models", status, added)
    assert status == 201 and added["label"] == "theirs.zip"
    status, damaged = app.json("POST", "/api/models?name=theirs.zip", archive.read_bytes()[:-9])
    check("POST", "/api/models", status, damaged)
    assert status == 422 and damaged["error"].startswith("theirs.zip: is no zip archive")
    path = f"/api/score?name=one.mp4&model={model['id']}&start_frame=4&end_frame=36&wait=120"
    status, job = app.json("POST", path, three[0].read_bytes())
    check("POST", "/api/score", status, job)
    assert status == 200 and job["state"] == "done", job
    from aqa_heads import score

    assert job["score"]["points"] == score(trained / "runs/ridge", three[0], 4, 36).points
    assert job["score"]["frames"] == [8, 36]  # the last 28 of these
    status, _, content = app.ask("GET", job["page"])
    assert status == 200 and b"one" in content and b"All scores" in content
    assert app.ask("GET", job["page"] + "scores.csv")[0] == 200
    for wrong in ("start_frame=9&end_frame=4", "difficulty=nan", "difficulty=0"):
        status, refused = app.json("POST", f"/api/score?name=one.mp4&{wrong}", three[0].read_bytes())
        assert status == 422 and "error" in refused, "and the video is not kept"
    status, rows = app.json("GET", "/api/rows")
    check("GET", "/api/rows", status, rows)
    (row,) = rows["rows"]
    change = {"version": row["version"], "changes": {"final_score": 50.5, "marks": {"Ann": 5}}, "who": "Ann"}
    status, changed = app.json("PATCH", f"/api/rows/{row['id']}", change)
    check("PATCH", "/api/rows/{id}", status, changed)
    status, conflict = app.json("PATCH", f"/api/rows/{row['id']}", {**change, "who": "Ben"})
    check("PATCH", "/api/rows/{id}", status, conflict)
    assert status == 409 and "Ann has changed it meanwhile" in conflict["error"]
    status, undone = app.json("POST", f"/api/rows/{row['id']}/undo", {"version": changed["version"]})
    check("POST", "/api/rows/{id}/undo", status, undone)
    assert undone["final_score"] is None and undone["start_frame"] == 4
    status, removed = app.json("POST", f"/api/rows/{row['id']}/remove", {"version": undone["version"]})
    check("POST", "/api/rows/{id}/remove", status, removed)
    assert app.json("GET", "/api/rows")[1]["rows"] == []
    assert app.ask("GET", f"/clips/{row['id']}")[0] == 404 and app.ask("GET", job["page"])[0] == 200
    status, there = app.json("POST", f"/api/rows/{row['id']}/put-back")
    check("POST", "/api/rows/{id}/put-back", status, there)
    assert app.json("GET", "/api/rows")[1]["rows"] == [undone]
    status, failing = app.json("POST", "/api/learn", {"model": model["id"]})
    check("POST", "/api/learn", status, failing)
    status, ended = app.json("GET", f"/api/jobs/{failing['id']}?wait=60")
    check("GET", "/api/jobs/{id}", status, ended)
    assert ended["state"] == "failed" and "type the scores of at least two" in ended["error"]


# Faults.


def test_a_browser_that_is_closed_in_mid_upload_leaves_nothing(start):
    app = start()
    with socket.create_connection(("127.0.0.1", app.port)) as sock:
        sock.sendall(
            f"POST /api/videos?name=a.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n"
            "Content-Length: 900000\r\n\r\n".encode()
            + bytes(200_000)
        )
        until = time.monotonic() + HANGS
        while not os.listdir(app.folder / "arriving") and time.monotonic() < until:
            time.sleep(0.02)
    while os.listdir(app.folder / "arriving") and time.monotonic() < until:
        time.sleep(0.02)
    assert not os.listdir(app.folder / "arriving") and not app.json("GET", "/api/rows")[1]["rows"]
    assert sorted(os.listdir(app.folder / "videos")) == ["annotations.csv", "judges.csv"]


def test_a_second_server_is_refused_and_leaves_the_uploads_of_the_first(app, trained):
    part = app.folder / "arriving" / "part"
    part.write_text("half a video")
    with pytest.raises(AqaError, match="another aqa-app uses it"):
        application(trained / "runs", app.folder, Address("127.0.0.1", 1, "", ()))
    assert part.exists()
    part.unlink()


def test_ten_uploads_at_once_wait_in_the_queue_and_a_kill_loses_none(start, three):
    app, answers = start(), []

    def upload(number):
        path = three[number % 3]
        answers.append(app.json("POST", f"/api/videos?name=v{number}.mp4", path.read_bytes()))

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {201}
    page = app.ask("GET", "/")[2].decode()
    assert "in the queue" in page
    app.kill()
    again = start()
    again.idle()
    assert len(again.json("GET", "/api/rows")[1]["rows"]) == 10
    previews = [name for name in os.listdir(again.folder / "previews") if not name.startswith(".")]
    assert len(previews) == 20  # a video and its times, each once
    assert {sample.video for sample in read_annotations(again.folder / "videos/annotations.csv")} == {
        f"v{number}.mp4" for number in range(10)
    }


def test_a_damaged_video_fails_alone(start, three):
    app = start()
    _, bad = app.json("POST", "/api/videos?name=bad.mp4", b"no video" * 1000)
    _, good = app.json("POST", "/api/videos?name=good.mp4", three[0].read_bytes())
    app.idle()
    assert b"It cannot be played" in app.ask("GET", f"/clips/{bad['id']}")[2]
    assert b'id="video"' in app.ask("GET", f"/clips/{good['id']}")[2]


def test_a_preview_that_is_taken_out_of_the_queue_is_said(start, three):
    app = start()
    rows = [app.json("POST", f"/api/videos?name={n}.mp4", three[n].read_bytes())[1] for n in range(3)]
    page = app.ask("GET", "/parts/queue")[2].decode()
    for id in re.findall(r'data-cancel="(\w+)"', page):
        assert app.ask("DELETE", f"/api/jobs/{id}")[0] == 204
    app.idle()
    pages = [app.ask("GET", f"/clips/{row['id']}")[2] for row in rows]
    assert pages and not any(b"is being prepared" in page for page in pages)


def test_200_requests_do_not_let_memory_grow(start, three):
    app = start()
    _, row = app.json("POST", "/api/videos?name=a.mp4", three[0].read_bytes())
    app.idle()
    paths = ["/", "/clips", f"/clips/{row['id']}", "/train", "/models", "/parts/queue", "/api/rows"]

    def go(count):
        for number in range(count):
            assert app.ask("GET", paths[number % len(paths)])[0] == 200

    go(100)
    before = app.memory()
    go(200)
    assert app.memory() - before < 2 * 2**20


def test_videos_that_lie_there_are_taken_over(start, three, tmp_path):
    folder = tmp_path / "app"
    (folder / "videos").mkdir(parents=True)
    (folder / "videos/own.mp4").write_bytes(three[0].read_bytes())
    os.symlink("/etc/passwd", folder / "videos/link.mp4")
    (folder / "videos/annotations.csv").write_text("sample_id,video,final_score\nx,own.mp4,7\n")
    app = start()
    (row,) = app.json("GET", "/api/rows")[1]["rows"]
    assert row["sample_id"] == "x" and row["final_score"] == 7
    app.idle()
    with open(folder / "videos/annotations.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{"sample_id": "x", "video": "own.mp4", "final_score": "7.0"}]


def test_the_library_that_is_lacking_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.exit_code == 2 and "pip install 'aqa-cache[app]'" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "is not there"),
        ([".", "--token", "short"], "expected at least 16"),
        ([".", "--host", "no.such.host.invalid"], "cannot be listened on"),
    ],
)
def test_a_mistake_at_the_start_is_one_message(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and message in result.stderr and "Traceback" not in result.output


# What a person's folder may hold, and a kill may leave.


def test_any_number_of_videos_may_lie_in_the_folder_and_none_is_forgotten(tmp_path):
    folder = Folder(tmp_path / "app")
    folder.make()
    for number in range(MOST_WAITING + 5):
        (folder.videos / f"{number}.mp4").write_bytes(b"x")
    # A server that was killed between listing a video and what follows.
    store = Store(folder.database)
    Videos(store, folder, Arrivals(folder)).list_file("0.mp4")
    store.close()
    begin = (
        "import sys; from pathlib import Path; from aqa_cli.app.checks import Address;"
        " from aqa_cli.app.server import application;"
        " application(Path('.'), Path(sys.argv[1]), Address('127.0.0.1', 1))"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", begin, str(folder.root)], check=True)
        store = Store(folder.database)
        counts = [store.all(f"SELECT count(*) FROM {name}")[0][0] for name in ("videos", "rows", "jobs")]
        store.close()
        assert counts == [MOST_WAITING + 5] * 3


@pytest.mark.parametrize("damage", ["other", "zeros"])
def test_a_database_that_is_none_of_ours_or_damaged_is_one_message(tmp_path, damage):
    path = tmp_path / "app.sqlite"
    if damage == "other":
        with sqlite3.connect(path) as db:
            db.executescript("CREATE TABLE x(y); PRAGMA user_version = 1")
        db.close()
    else:
        Store(path).close()
        content = path.read_bytes()
        path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    with pytest.raises(AqaError, match="cannot be used .*; move it away, or choose another --folder"):
        Store(path)


def test_connections_over_which_nothing_comes_keep_nobody_out(start):
    app = start()
    half = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n".encode()
    socks = []
    try:
        for number in range(300):
            socks.append(sock := socket.create_connection(("127.0.0.1", app.port), timeout=HANGS))
            if number % 2:  # every other one has begun a request
                sock.sendall(half)
        # The newest are kept for a while, and can go on.
        socks[-1].sendall(b"\r\n")
        assert app.ask("GET", "/")[0] == 200
        assert app.json("GET", "/api/rows")[0] == 200
        assert socks[-1].recv(100).startswith(b"HTTP/1.1 200")
        # A request that never comes to its end is not waited for, however often something comes.
        dripping, began = socks[-3], time.monotonic()
        try:
            while time.monotonic() < began + 3 * HEADERS_SECONDS:
                dripping.sendall(b"X: y\r\n")
                time.sleep(0.2)
        except OSError:
            pass
        assert time.monotonic() - began < 2 * HEADERS_SECONDS
    finally:
        for sock in socks:
            sock.close()


def test_a_connection_that_is_kept_takes_further_requests(app):
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=HANGS)
    try:
        for _ in range(3):
            connection.request("GET", "/api/rows")
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read()
            sock = connection.sock
        assert sock is not None  # the same connection served all
        connection.request("POST", "/api/learn", b'{"model": 1}', {"Content-Type": "application/json"})
        assert connection.getresponse().status == 422
    finally:
        connection.close()


def test_those_who_wait_for_a_job_hold_up_nobody(start, three):
    """Sixty, of which each would have taken one of forty threads."""
    app = start()
    with FileLock(app.folder / ".work.lock").held("works", AqaError):  # no job can begin
        app.ask("POST", "/api/videos?name=a.mp4", three[0].read_bytes())
        with sqlite3.connect(app.folder / "app.sqlite") as db:
            (job,) = db.execute("SELECT id FROM jobs").fetchone()
        db.close()
        path = f"/api/jobs/{job}?wait=120"
        waiting = [threading.Thread(target=app.ask, args=("GET", path)) for _ in range(60)]
        for thread in waiting:
            thread.start()
        time.sleep(0.5)  # for them to reach it
        assert app.ask("GET", "/login")[0] == 303 and app.ask("GET", "/clips")[0] == 200
        assert all(thread.is_alive() for thread in waiting)
    for thread in waiting:
        thread.join()
