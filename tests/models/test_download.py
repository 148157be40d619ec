"""Every way a download can go wrong, against a real server on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.full_disk import files_limited_to
from tracker.errors import ModelError
from tracker.models import download
from tracker.models.download import Download, fetch, hub_url

CONTENT = np.random.default_rng(7).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    etag: str = '"first"'
    cut_after: list[int] = field(default_factory=list)  # bytes of the body, one per answer
    answers: list[int] = field(default_factory=list)  # status codes to send instead, in turn
    honours_range: bool = True
    names_length: bool = True
    wrong_start: list[int] = field(default_factory=list)  # claimed in Content-Range, in turn
    redirect_to: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    gate: threading.Event | None = None  # an answer waits here after 1,000,000 bytes

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        do = self.behaviour
        do.asked.append(dict(self.headers))
        if do.redirect_to:
            self.send_response(302)
            self.send_header("Location", do.redirect_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if do.answers:
            self.send_error(do.answers.pop(0))
            return
        start = self._start()
        body = do.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", do.etag)
        if do.names_length:
            self.send_header("Content-Length", str(len(body)))
        if start:
            first = do.wrong_start.pop(0) if do.wrong_start else start
            last, total = len(do.content) - 1, len(do.content)
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        self.end_headers()
        if do.gate and not start:
            self.wfile.write(body[:1_000_000])
            do.gate.wait(10)
            body = body[1_000_000:]
        with contextlib.suppress(ConnectionError):  # the client may hang up
            self.wfile.write(body[: do.cut_after.pop(0)] if do.cut_after else body)

    def _start(self) -> int:
        do, asked = self.behaviour, self.headers.get("Range")
        if not asked or not do.honours_range:
            return 0
        if self.headers.get("If-Range", do.etag) != do.etag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Start servers: `serve(behaviour)` gives the address of one."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(download, "RETRY_DELAYS_S", (0.01, 0.01))
    servers = []

    def start(behaviour: Behaviour) -> str:
        handler = type("BehavingHandler", (Handler,), {"behaviour": behaviour})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def wanted(address: str, folder: Path) -> Download:
    return Download(f"{address}/file", folder / "deep" / "model.pt", len(CONTENT), SHA256)


def names(folder: Path) -> set[str]:
    """The visible files; the lock file stays, so that waiting processes agree on one lock."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_whole_file_arrives_with_progress(serve, tmp_path):
    do = Behaviour()
    want = wanted(serve(do), tmp_path)
    seen: list[tuple[str, int, int]] = []
    fetch(want, lambda *step: seen.append(step))
    assert want.target.read_bytes() == CONTENT
    assert names(want.target.parent) == {"model.pt"}
    done = [step[1] for step in seen]
    assert done == sorted(done) and done[-1] == len(CONTENT)
    assert {(name, total) for name, _, total in seen} == {("model.pt", len(CONTENT))}


def test_a_right_file_is_not_fetched_again_and_a_wrong_one_is(serve, tmp_path):
    do = Behaviour()
    want = wanted(serve(do), tmp_path)
    fetch(want)
    fetch(want)
    assert len(do.asked) == 1
    want.target.write_bytes(b"\0" * len(CONTENT))
    fetch(want)
    assert len(do.asked) == 2 and want.target.read_bytes() == CONTENT


def test_a_cut_connection_is_resumed_within_one_call(serve, tmp_path):
    do = Behaviour(cut_after=[1_000_000, 500_000])
    want = wanted(serve(do), tmp_path)
    fetch(want)
    assert do.ranges() == [None, "bytes=1000000-", "bytes=1500000-"]
    assert do.asked[1]["If-Range"] == '"first"'
    assert want.target.read_bytes() == CONTENT


def test_after_a_few_cuts_the_error_says_how_to_go_on_and_the_next_call_does(serve, tmp_path):
    do = Behaviour(cut_after=[100, 200, 300])
    want = wanted(serve(do), tmp_path)
    with pytest.raises(ModelError, match=r"600 of 3,000,000 bytes are here.*same command again"):
        fetch(want)
    assert names(want.target.parent) == {"model.pt.part", "model.pt.part.etag"}
    assert want.part.read_bytes() == CONTENT[:600]
    fetch(want)
    assert do.ranges()[-1] == "bytes=600-"
    assert want.target.read_bytes() == CONTENT
    assert names(want.target.parent) == {"model.pt"}


def test_a_server_without_ranges_sends_all_of_it_again(serve, tmp_path):
    do = Behaviour(honours_range=False, cut_after=[1_000_000])
    want = wanted(serve(do), tmp_path)
    fetch(want)
    assert do.ranges() == [None, "bytes=1000000-"]
    assert want.target.read_bytes() == CONTENT


def test_a_part_of_other_content_is_not_continued(serve, tmp_path):
    other = bytes(len(CONTENT))
    do = Behaviour(content=other, etag='"other"', cut_after=[100, 100, 100])
    want = wanted(serve(do), tmp_path)
    with pytest.raises(ModelError, match="broke off"):
        fetch(want)
    do.content, do.etag = CONTENT, '"first"'
    fetch(want)
    assert do.asked[-1]["If-Range"] == '"other"'
    assert want.target.read_bytes() == CONTENT


def test_a_complete_part_is_verified_without_a_request(serve, tmp_path):
    do = Behaviour()
    want = wanted(serve(do), tmp_path)
    want.part.parent.mkdir()
    want.part.write_bytes(CONTENT)
    fetch(want)
    assert do.asked == [] and want.target.read_bytes() == CONTENT


def test_a_part_that_is_too_long_starts_over(serve, tmp_path):
    do = Behaviour()
    want = wanted(serve(do), tmp_path)
    want.part.parent.mkdir()
    want.part.write_bytes(CONTENT + b"more")
    fetch(want)
    assert do.ranges() == [None] and want.target.read_bytes() == CONTENT


def test_a_refused_range_starts_over(serve, tmp_path):
    do = Behaviour(answers=[416])
    want = wanted(serve(do), tmp_path)
    want.part.parent.mkdir()
    want.part.write_bytes(CONTENT[:1000])
    fetch(want)
    assert do.ranges() == ["bytes=1000-", None]
    assert want.target.read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_nothing_stays(serve, tmp_path):
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    want = wanted(serve(Behaviour(content=wrong)), tmp_path)
    found = hashlib.sha256(wrong).hexdigest()
    with pytest.raises(ModelError, match=f"expected {SHA256}, found {found}"):
        fetch(want)
    assert names(want.target.parent) == set()


def test_a_wrong_file_does_not_replace_the_one_in_place(serve, tmp_path):
    want = wanted(serve(Behaviour(content=bytes(len(CONTENT)))), tmp_path)
    want.target.parent.mkdir()
    want.target.write_bytes(b"an older file")
    with pytest.raises(ModelError, match="not the right file"):
        fetch(want)
    assert want.target.read_bytes() == b"an older file"


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"more", b"<html>log in</html>"])
def test_a_wrong_size_is_refused_before_the_body_is_read(serve, tmp_path, content):
    want = wanted(serve(Behaviour(content=content)), tmp_path)
    with pytest.raises(ModelError, match=f"has {len(content):,} bytes, not the 3,000,000"):
        fetch(want)
    assert names(want.target.parent) == set()


def test_a_server_that_names_no_length_is_stopped_when_it_sends_too_much(serve, tmp_path):
    do = Behaviour(content=CONTENT + b"more", names_length=False)
    want = wanted(serve(do), tmp_path)
    with pytest.raises(ModelError, match="sends more than the 3,000,000 bytes"):
        fetch(want)
    assert not want.target.exists() and not want.part.exists()


def test_a_server_that_names_no_length_is_resumed_like_any_other(serve, tmp_path):
    do = Behaviour(names_length=False, cut_after=[1_000_000])
    want = wanted(serve(do), tmp_path)
    fetch(want)
    assert do.ranges() == [None, "bytes=1000000-"]
    assert want.target.read_bytes() == CONTENT


def test_another_range_than_the_one_asked_for_starts_over(serve, tmp_path):
    do = Behaviour(cut_after=[1_000_000], wrong_start=[5])
    want = wanted(serve(do), tmp_path)
    fetch(want)
    assert do.ranges() == [None, "bytes=1000000-", None]
    assert want.target.read_bytes() == CONTENT


def test_not_found_is_final_and_names_the_address(serve, tmp_path):
    do = Behaviour(answers=[404])
    want = wanted(serve(do), tmp_path)
    with pytest.raises(ModelError, match=r"answers 404 .*127\.0\.0\.1.*HF_ENDPOINT"):
        fetch(want)
    assert len(do.asked) == 1


def test_unauthorized_names_the_token(serve, tmp_path):
    with pytest.raises(ModelError, match="HF_TOKEN"):
        fetch(wanted(serve(Behaviour(answers=[401])), tmp_path))


def test_a_busy_server_is_asked_again(serve, tmp_path):
    do = Behaviour(answers=[503, 429])
    want = wanted(serve(do), tmp_path)
    fetch(want)
    assert len(do.asked) == 3 and want.target.read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_an_error(serve, tmp_path):
    with pytest.raises(ModelError, match="answers 503"):
        fetch(wanted(serve(Behaviour(answers=[503] * 3)), tmp_path))


def test_no_server_at_all_is_an_error_that_names_it(serve, tmp_path):
    with pytest.raises(ModelError, match=r"from 127\.0\.0\.1:9: no connection"):
        fetch(wanted("http://127.0.0.1:9", tmp_path))


def test_the_token_goes_to_the_hub_and_not_where_it_redirects(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    storage = Behaviour(cut_after=[1_000_000])
    hub = Behaviour(redirect_to=f"{serve(storage)}/elsewhere")
    want = wanted(serve(hub), tmp_path)
    fetch(want)
    assert want.target.read_bytes() == CONTENT
    assert [asked["Authorization"] for asked in hub.asked] == ["Bearer hf_secret"] * 2
    assert all("Authorization" not in asked for asked in storage.asked)
    assert storage.ranges() == [None, "bytes=1000000-"]


def test_two_at_once_fetch_it_once(serve, tmp_path):
    do = Behaviour(gate=threading.Event())
    want = wanted(serve(do), tmp_path)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            fetch(want)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    threads[0].join(0.3)
    assert all(thread.is_alive() for thread in threads)
    do.gate.set()
    for thread in threads:
        thread.join(10)
    assert errors == [] and len(do.asked) == 1
    assert want.target.read_bytes() == CONTENT


def test_a_killed_pull_frees_the_lock_and_leaves_a_part_to_go_on_from(serve, tmp_path):
    do = Behaviour(gate=threading.Event())
    want = wanted(serve(do), tmp_path)
    code = f"""if True:
        from pathlib import Path
        from tracker.models.download import Download, fetch
        fetch(Download({want.url!r}, Path({str(want.target)!r}), {want.size_bytes}, {SHA256!r}))
    """
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not want.part.exists() or want.part.stat().st_size < 900_000:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    do.gate.set()
    kept = want.part.stat().st_size
    fetch(want)
    assert do.ranges() == [None, f"bytes={kept}-"]
    assert want.target.read_bytes() == CONTENT


def test_a_disk_that_fills_up_keeps_the_part(serve, tmp_path):
    do = Behaviour()
    want = wanted(serve(do), tmp_path)
    with (
        pytest.raises(ModelError, match=r"cannot write .*model\.pt: File too large"),
        files_limited_to(1_000_000),
    ):
        fetch(want)
    assert want.part.read_bytes() == CONTENT[:1_000_000]
    fetch(want)
    assert do.ranges() == [None, "bytes=1000000-"]
    assert want.target.read_bytes() == CONTENT


def test_a_full_disk_is_seen_before_the_download(serve, tmp_path):
    do = Behaviour()
    want = replace(wanted(serve(do), tmp_path), size_bytes=10**18)
    with pytest.raises(ModelError, match=r"needs 1,000,000,000,000 MB more .*TRACK_MODELS"):
        fetch(want)
    assert do.asked == []


def test_a_folder_that_cannot_be_made_is_an_error(serve, tmp_path):
    (tmp_path / "deep").write_text("a file")
    with pytest.raises(ModelError, match=r"cannot write .*deep"):
        fetch(wanted(serve(Behaviour()), tmp_path))


def test_the_endpoint_can_be_a_mirror_but_not_a_file(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub_url("a/b", "rev", "f.pt") == "https://huggingface.co/a/b/resolve/rev/f.pt"
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.test/hub/")
    assert hub_url("a/b", "rev", "f.pt") == "http://mirror.test/hub/a/b/resolve/rev/f.pt"
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(ModelError, match="HF_ENDPOINT"):
        hub_url("a/b", "rev", "f.pt")
