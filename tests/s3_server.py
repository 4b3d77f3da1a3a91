"""A real S3 server on loopback (moto), one per session: it can be stopped, started again, and made to refuse."""

import itertools
import logging
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from moto import settings
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


class S3Server:
    """Its buckets outlive a stop, since they live in this process."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.port, self.buckets = 0, itertools.count()
        self.start()

    def start(self) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]

    def stop(self) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/{path}", body, method=method)) as answer:
            return bytes(answer.read())

    def address(self, path: str = "runs") -> str:
        """Of a folder in a new bucket; it says by itself where the server is."""
        bucket = f"bucket-{next(self.buckets)}"
        self.request("PUT", bucket)
        return f"s3://{bucket}/{path}?endpoint_override=127.0.0.1:{self.port}&scheme=http"

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Whoever asks meanwhile has no right to."""
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        try:
            yield
        finally:
            settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")

    @contextmanager
    def down(self, seconds: float = 0.0) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            time.sleep(seconds)
            self.start()
