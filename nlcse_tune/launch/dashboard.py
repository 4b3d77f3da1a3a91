"""Ray's dashboard from outside: whether it answers, how to reach it, the token that it asks for. Imports no Ray."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nlcse_tune.errors import ConfigError, RunError

SECONDS = 10.0  # for an answer
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Dashboard:
    """The dashboard at `url`, as the machine `host` sees it; None: as this machine does."""

    url: str
    host: str | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the URL means another machine's own loopback, where this one may have something else."""
        return self.host is not None and urlsplit(self.url).hostname in LOOPBACK

    def tunnel(self, through: str | None = None) -> str:
        """The command that brings it to the machine on which it is typed: by the host that has it, or `through` one."""
        at = urlsplit(self.url)
        port = at.port or 80
        host = "127.0.0.1" if at.hostname in LOOPBACK else at.hostname
        return f"ssh -N -L {port}:{host}:{port} {through or self.host or host}"

    def get(self, path: str) -> Any:
        """What it answers, as JSON; RunError where it does not, or refuses our token."""
        headers = headers_for_ray()
        asked = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                which = "another" if headers else "a"
                raise RunError(
                    f"{self.url}: answers {error.code}: it asks for {which} token; take that of the user who started "
                    "it, in RAY_AUTH_TOKEN_PATH"
                ) from None
            raise RunError(f"{self.url}{path}: answers {error.code}; see its log in Ray's session folder") from None
        except (OSError, HTTPException, ValueError) as error:
            why = getattr(error, "reason", error)
            raise RunError(f"{self.url}: no dashboard of Ray answers: {why}; see whether its Ray is up") from None

    def asks_for_token(self) -> bool:
        """Whether its calls need the token; RunError where it does not answer."""
        return bool(self.get("/api/authentication_mode")["authentication_mode"] == "token")


def ray_token() -> str | None:
    """The token as Ray itself finds it: `$RAY_AUTH_TOKEN`, the file `$RAY_AUTH_TOKEN_PATH`, `~/.ray/auth_token`."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    asked = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(asked) if asked else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: Ray's token cannot be read: {error.strerror}; see to its permissions") from None


def headers_for_ray() -> dict[str, str]:
    """What shows the dashboard that we have the token, where we have one."""
    return {"Authorization": f"Bearer {token}"} if (token := ray_token()) else {}
