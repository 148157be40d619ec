"""Fetches one file of known size and SHA-256: it gets its final name only when every byte is right.

While it is on its way the file is called `NAME.part`; what a broken connection leaves there is the
start of the next attempt. `NAME.part.etag` remembers which content the part belongs to.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tracker.errors import ModelError
from tracker.models.checksum import read_sha256

Progress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes that are here, and the bytes there will be."""

DEFAULT_ENDPOINT = "https://huggingface.co"
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0)
TIMEOUT_S = 30.0  # without a single byte
BLOCK_BYTES = 1 << 20

_WORTH_A_RETRY = {408, 416, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Attributes:
        url: http or https; redirects are followed.
        target: the final path; its folder is made if needed.
        size_bytes, sha256: of the right content (lower-case hexadecimal).
    """

    url: str
    target: Path
    size_bytes: int
    sha256: str

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def part_etag(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part.etag")


class _Interrupted(Exception):
    """The answer broke off, or was not the one asked for: try again."""


def hub_url(repo: str, revision: str, file: str) -> str:
    """The address of a hub file below `$HF_ENDPOINT`, or below the public hub.

    Raises:
        ModelError: when `HF_ENDPOINT` is not an http or https address.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or DEFAULT_ENDPOINT
    if not re.match(r"https?://[^/]", endpoint):
        raise ModelError(f"HF_ENDPOINT is {endpoint!r}; give an address that starts with https://")
    return f"{endpoint}/{repo}/resolve/{revision}/{file}"


def fetch(download: Download, progress: Progress | None = None) -> None:
    """Bring `download.target` to its right content; at once when it has it already.

    One process at a time fetches a target: a second one waits, and then finds the file in place.

    Raises:
        ModelError: no connection, a refusal by the server, a full disk, or a wrong SHA-256. After
            a lost connection or a full disk the part is kept, and the same call goes on from it.
    """
    report = progress or (lambda name, done, total: None)
    try:
        download.target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(download.target):
            if not _is_right(download.target, download):
                _check_free_space(download)
                _receive_with_retries(download, report)
                _install(download)
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"cannot write {error.filename or download.target}: {reason}") from error
    report(download.target.name, download.size_bytes, download.size_bytes)


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the target's kernel lock, which is gone with the process that holds it."""
    # The lock file stays: were it deleted, a waiting and a new process would lock two files.
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_right(path: Path, download: Download) -> bool:
    if not path.is_file() or path.stat().st_size != download.size_bytes:
        return False
    return read_sha256(path) == download.sha256


def _bytes_here(download: Download) -> int:
    """The size of a part that can be continued; 0 when there is none."""
    size = download.part.stat().st_size if download.part.exists() else 0
    return size if size <= download.size_bytes else 0


def _check_free_space(download: Download) -> None:
    folder = download.target.parent
    missing, free = download.size_bytes - _bytes_here(download), shutil.disk_usage(folder).free
    if missing > free:
        raise ModelError(
            f"{download.target.name} needs {missing / 1e6:,.0f} MB more but {folder} has "
            f"{free / 1e6:,.0f} MB free; make room, or set TRACK_MODELS to a folder elsewhere"
        )


def _receive_with_retries(download: Download, report: Progress) -> None:
    for delay_s in (*RETRY_DELAYS_S, None):
        try:
            _receive(download, report)
            return
        except (_Interrupted, urllib.error.URLError, http.client.HTTPException) as error:
            if delay_s is None:
                here = f"{_bytes_here(download):,} of {download.size_bytes:,} bytes are here"
                raise ModelError(
                    f"cannot fetch {download.target.name} from {urlsplit(download.url).netloc}: "
                    f"{_reason(error)}; {here}: give the same command again to go on from there"
                ) from error
            time.sleep(delay_s)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection ({error.reason})"
    return str(error) or type(error).__name__


def _receive(download: Download, report: Progress) -> None:
    """One request for what is missing of the part."""
    here = _bytes_here(download)
    if here == download.size_bytes:
        return
    with _open(download, here) as answer:
        here = _check_answer(answer, download, here)
        with download.part.open("ab" if here else "wb") as part:
            if not here:
                download.part_etag.write_text(answer.headers.get("ETag", ""))
            while block := _read(answer):
                here += len(block)
                if here > download.size_bytes:
                    download.part.unlink()
                    raise ModelError(
                        f"the server sends more than the {download.size_bytes:,} bytes of "
                        f"{download.target.name}: not the right file ({download.url})"
                    )
                part.write(block)
                report(download.target.name, here, download.size_bytes)
            part.flush()
            os.fsync(part.fileno())
    if here < download.size_bytes:
        raise _Interrupted(f"the connection broke off after {here:,} bytes")


def _open(download: Download, here: int) -> Any:
    request = urllib.request.Request(download.url, headers={"User-Agent": "track"})
    if here:
        request.add_header("Range", f"bytes={here}-")
        etag = download.part_etag.read_text() if download.part_etag.exists() else ""
        if etag:  # a server whose content has changed then answers with all of it
            request.add_header("If-Range", etag)
    if token := os.environ.get("HF_TOKEN", "").strip():
        # "Unredirected": the token goes to the hub alone, never to where the hub redirects.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part does not belong to this content
            download.part.unlink(missing_ok=True)
        if error.code not in _WORTH_A_RETRY:
            raise ModelError(_refusal(download, error.code, str(error.reason))) from error
        raise
    except OSError as error:  # a reset or time-out that urllib does not wrap
        if isinstance(error, urllib.error.URLError):
            raise
        raise _Interrupted(f"no connection ({error})") from error


def _refusal(download: Download, code: int, reason: str) -> str:
    mend = {
        401: "; set HF_TOKEN to a token that may read it",
        403: "; set HF_TOKEN to a token that may read it",
        404: "; is HF_ENDPOINT a mirror that lacks the file?",
    }
    text = f"{download.target.name}: the server answers {code} {reason} for {download.url}"
    return text + mend.get(code, "")


def _check_answer(answer: Any, download: Download, here: int) -> int:
    """The offset at which the answer's body begins: `here`, or 0 when all of it is sent again."""
    if answer.status == 206:
        start = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if not start or int(start[1]) != here:
            download.part.unlink(missing_ok=True)
            raise _Interrupted("the server answers with another range than the one asked for")
    else:
        here = 0
    length = answer.headers.get("Content-Length")
    if length is not None and here + int(length) != download.size_bytes:
        raise ModelError(
            f"{download.url} has {here + int(length):,} bytes, not the {download.size_bytes:,} of "
            f"{download.target.name}: not the right file; is HF_ENDPOINT right?"
        )
    return here


def _read(answer: Any) -> bytes:
    try:
        return bytes(answer.read1(BLOCK_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(f"the connection broke off ({error})") from error


def _install(download: Download) -> None:
    """Give the part its final name if its SHA-256 is right, so that it survives a power cut."""
    found = read_sha256(download.part)
    download.part_etag.unlink(missing_ok=True)
    if found != download.sha256:
        download.part.unlink()
        raise ModelError(
            f"{download.target.name} from {urlsplit(download.url).netloc} is not the right file: "
            f"SHA-256 expected {download.sha256}, found {found}; it was deleted"
        )
    os.replace(download.part, download.target)
    folder = os.open(download.target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
