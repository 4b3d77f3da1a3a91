"""Where the dashboard of a cluster, or of a command under way, is. Imports Ray only to ask a cluster."""

import os
from pathlib import Path

from nlcse_tune.errors import DataError, RunError, first_line
from nlcse_tune.launch.dashboard import Dashboard, ray_token
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.progress import Call


def dashboard_at(address: str) -> Dashboard:
    """The dashboard of the cluster at `address`: its own address, or whatever Ray joins a cluster by."""
    if "://" not in address and ":" in address:
        address = f"http://{address}" if _answers(f"http://{address}") else address
    if address.startswith(("http://", "https://")):
        return Dashboard(address.rstrip("/"))
    return Dashboard(_asked_of_ray(address))


def dashboard_of_call(root: Path, study: str | None, here: str) -> Dashboard:
    """The dashboard of the command that works on a study under `root`, or of the newest; `here` is this machine's name.

    RunError where there is none.
    """
    calls = [path for path in _calls(root, study) if (call := _read(path)) and call.dashboard and not call.ended]
    if not calls:
        of = f"of {study} " if study else ""
        raise RunError(
            f"{root}: no command {of}that works there has told where its dashboard is; start a search, or give the "
            "address of a cluster with --address"
        )
    call = _read(calls[0])
    assert call is not None
    assert call.dashboard is not None
    return Dashboard(call.dashboard.rstrip("/"), None if call.host == here else call.host)


def _calls(root: Path, study: str | None) -> list[Path]:
    """Files of calls, the newest first."""
    names = [study] if study else [folder.name for folder in root.glob("*") if folder.is_dir()]
    files = [path for name in names if (path := StudyPaths(root, name).call).is_file()]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def _read(path: Path) -> Call | None:
    try:
        return Call.read(path)
    except DataError:
        return None


def _answers(url: str) -> bool:
    try:
        Dashboard(url).asks_for_token()
    except RunError:
        return False
    return True


def _asked_of_ray(address: str) -> str:
    """The URL of the dashboard of the cluster that Ray joins by `address`; RunError where there is none."""
    if ray_token():  # a cluster that asks for none takes no offence
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    from nlcse_tune.launch import cluster  # noqa: F401 # sets Ray's environment before ray's import

    from ray.dashboard import utils  # isort: skip

    try:
        if address.startswith("ray://"):
            return str(utils.ray_client_address_to_api_server_url(address))
        return str(utils.ray_address_to_api_server_url(address))
    except Exception as error:  # Ray raises bare ones
        why = first_line(error).partition(". ")[0]
        raise RunError(f"Ray at {address} could not be reached: {why}; give its dashboard: http://HEAD:8265") from error
