"""`dashboard`: Ray's page of a running search, how to get in, and its metrics in Prometheus."""

import os
import signal
import socket
import sys
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from nlcse_tune.cli import options
from nlcse_tune.errors import ConfigError, RunError, interrupt, interrupted_status

if TYPE_CHECKING:
    from nlcse_tune.launch.dashboard import Dashboard
    from nlcse_tune.launch.prometheus import Prometheus

FOLLOW = 5.0  # seconds between two looks at which nodes there are


def dashboard(
    study: Annotated[
        str | None,
        Argument(help="a study that is worked on [default: the newest]", autocompletion=options.studies_that_begin),
    ] = None,
    opened: Annotated[bool, Option("--open", help="open it in this machine's browser")] = False,
    metrics: Annotated[bool, Option("--metrics", help="collect its metrics with Prometheus, until Ctrl-C")] = False,
    token: Annotated[bool, Option("--token", help="show the token that it asks for, on a terminal only")] = False,
    address: Annotated[
        str | None, Option(help="of a cluster, in place of a study: http://HEAD:8265, or as search --address has it")
    ] = None,
    out: options.Out = Path("runs"),
) -> None:
    """Say where Ray's dashboard of a running search is and how to get in; collect its metrics."""
    from nlcse_tune.launch.whereabouts import dashboard_at, dashboard_of_call

    if token:
        show_token()
        return
    here = socket.gethostname()
    found = dashboard_at(address) if address else dashboard_of_call(out, study, here)
    show_way(found, here)
    if opened:
        open_browser(found)
    if metrics:
        collect(found)


def show_way(found: "Dashboard", here: str) -> None:
    """The dashboard's address, with a tunnel where this machine's user, or the page itself, sits elsewhere."""
    from nlcse_tune.cli import show

    def line(text: str) -> None:
        show.console.print(text, markup=False, soft_wrap=True)

    if found.is_elsewhere:
        line(f"Ray dashboard: on {found.host}; bring it here with\n  {found.tunnel()}\nand open {found.url}")
        line("where it asks for a token: `nlcse-tune dashboard --token`, typed there, shows it")
        return
    asks = found.asks_for_token()  # or says that nothing answers
    line(f"Ray dashboard: {found.url}")
    if "SSH_CONNECTION" in os.environ:
        line(f"from the machine that you came from:\n  {found.tunnel(here)}")
    if asks:
        line("it asks for a token: `nlcse-tune dashboard --token` shows it, to be copied")


def show_token() -> None:
    """Ray's token, to a terminal and to nothing else: a pipe may end in a file or a log."""
    from nlcse_tune.launch.dashboard import ray_token

    if not sys.stdout.isatty():
        raise ConfigError("--token: shows the token on a terminal only, and this is a pipe or a file")
    if (found := ray_token()) is None:
        raise RunError(
            "there is no token of Ray's here: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH and ~/.ray/auth_token are "
            "empty; a search makes one as it starts Ray, else ask whoever started the cluster"
        )
    typer.echo(found)


def open_browser(found: "Dashboard") -> None:
    """Opens the dashboard in a browser; ConfigError where this machine has none, or no screen."""
    screen = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()
    if not screen or not webbrowser.open(found.url):
        raise ConfigError(f"--open: no browser to show here; open {found.url} where there is one")


def collect(found: "Dashboard") -> None:
    """Runs Prometheus until it is told to end."""
    from nlcse_tune.cli import show
    from nlcse_tune.launch.prometheus import collecting

    if found.is_elsewhere:
        raise ConfigError(f"--metrics: the metrics are on {found.host}; give the command there")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: interrupt(number))
    try:
        with show.screen.status("starting Prometheus"), collecting(found) as prometheus:
            for line in (
                f"Prometheus: {prometheus.url}",
                f"Grafana: add {prometheus.url} as a Prometheus data source and import {grafana_dashboard()}",
                "ends, and forgets all, with Ctrl-C",
            ):
                show.console.print(line, markup=False, soft_wrap=True)
            follow(prometheus)
    except KeyboardInterrupt:
        raise typer.Exit(0 if interrupted_status() == 130 else interrupted_status()) from None


def follow(prometheus: "Prometheus") -> None:
    """Tells Prometheus of nodes that come and go, until Ctrl-C; RunError where it ends by itself."""
    from nlcse_tune.cli import show

    lost = False
    while not prometheus.has_ended():
        try:
            prometheus.follow()
            lost = False
        except RunError as error:
            if not lost:
                show.console.print(f"{error}; what was collected can be looked at", markup=False, soft_wrap=True)
            lost = True
        time.sleep(FOLLOW)
    raise RunError("prometheus ended by itself; give the command again")


def grafana_dashboard() -> Path:
    """The file of Grafana's dashboard, in the checkout or as the package ships it."""
    import nlcse_tune
    from nlcse_tune.paths import shipped

    return shipped("grafana", Path(nlcse_tune.__file__).parents[1] / "deploy" / "grafana") / "nlcse-tune.json"
