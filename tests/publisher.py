"""A real HTTP server on this machine that plays the Hugging Face hub and other publishers, with their bad days."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class BadDay:
    """What happens to one GET: a refusal with a status, or an answer that ends after so many bytes."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    method: str = "GET"


class Publisher(ThreadingHTTPServer):
    """Files by path; each bad day is used up by one request, in turn."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files: dict[str, bytes] = {}
        self.bad_days: list[BadDay] = []
        self.asked: list[str] = []  # method, and of a GET the range
        self.knows_ranges = True
        self.names_versions = True  # by a strong ETag, and If-Range counts
        self.any_version = False  # gives the rest of its file whatever If-Range says
        self.length = ""  # what it says of every answer in place of its bytes
        self.elsewhere = ""  # an address below which the hub's large files are, as on its own network of servers

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, path: str, content: bytes) -> str:
        """The address of a file."""
        self.files[path] = content
        return self.address + path

    def on_hub(self, repository: str, file: str, content: bytes, revision: str = "main") -> None:
        """A file of a data set on the hub."""
        self.put(f"/datasets/{repository}/resolve/{revision}/{file}", content)


class _Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_HEAD(self) -> None:
        self.server.asked.append("HEAD")
        if not self._refused():
            self._answer()

    def do_GET(self) -> None:
        if self.path.startswith("/api/datasets/"):
            return self._tree()
        if self.path.startswith("/api/"):  # what the hub's library asks of its own accord
            return self.send_error(404)
        self.server.asked.append(f"GET {self.headers.get('Range', '')}".strip())
        if self._refused():
            return None
        content = self._answer()
        if (day := self._today()) is not None and day.cut is not None:
            self.server.bad_days.pop(0)
            content = content[: day.cut]
            self.close_connection = True
        self.wfile.write(content)
        return None

    def _today(self) -> BadDay | None:
        days = self.server.bad_days
        return days[0] if days and days[0].method == self.command else None

    def _refused(self) -> bool:
        if (day := self._today()) is None or day.status is None:
            return False
        self.server.bad_days.pop(0)
        self.send_response(day.status)
        for name, value in {"Content-Length": "0", **day.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        return True

    def _answer(self) -> bytes:
        """Sends the headers that the hub's own client asks for; returns the bytes that belong to them."""
        whole = self.server.files.get(urlsplit(self.path).path.removeprefix("/elsewhere"))
        content, tag = whole or b"", f'"{hashlib.sha256(whole or b"").hexdigest()}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if whole is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
        elif self.server.elsewhere and self.path.startswith("/datasets/"):
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere + self.path)
            self.send_header("X-Linked-ETag", tag)
            self.send_header("X-Linked-Size", str(len(whole)))
            content, tag = b"", '"of the answer"'
        elif asked and self.server.knows_ranges and self._is_version(tag):
            content = whole[int(asked[1]) :]
            self.send_response(206 if content else 416)
            self.send_header("Content-Range", f"bytes {asked[1]}-{len(whole) - 1}/{len(whole)}")
        else:
            self.send_response(200)
        self.send_header("ETag", tag if self.server.names_versions else f"W/{tag}")
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", self.server.length or str(len(content)))
        self.end_headers()
        return content

    def _is_version(self, tag: str) -> bool:
        server = self.server
        return server.any_version or not server.names_versions or self.headers.get("If-Range", tag) == tag

    def _tree(self) -> None:
        """The files of a folder, as the hub lists them."""
        repository, _, rest = urlsplit(self.path).path.removeprefix("/api/datasets/").partition("/tree/")
        revision, _, folder = rest.partition("/")
        prefix = f"/datasets/{repository}/resolve/{revision}/"
        entries: list[dict[str, Any]] = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f"{folder}/more"}]
        for path, content in self.server.files.items():
            if path.startswith(f"{prefix}{folder}/"):
                digest = hashlib.sha256(content).hexdigest()
                lfs = {"oid": digest, "size": len(content), "pointerSize": 134}
                name = path.removeprefix(prefix)
                entries.append({"type": "file", "oid": "0" * 40, "size": len(content), "path": name, "lfs": lfs})
        body = json.dumps(entries).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@contextmanager
def publishing() -> Iterator[Publisher]:
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
