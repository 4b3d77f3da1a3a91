"""`nlcse-tune export`, mounted by cli.py."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[str, typer.Argument(help="a run id, a run's folder, or a checkpoint folder", metavar="RUN")],
    to: Annotated[Path, typer.Option("--to", help="the folder to write", metavar="DIR")],
    force: Annotated[bool, typer.Option("--force", help="replace an earlier export in DIR")] = False,
    out: Annotated[Path, typer.Option("--out", help="where runs are looked up")] = Path("runs"),
) -> None:
    """Write a run as a folder that sentence-transformers loads, with a model card."""
    from nlcse_tune.export.folder import export_run

    folder = export_run(run, to, out=out, force=force)
    typer.echo(f'wrote {folder}: load it with SentenceTransformer("{folder}"); state a licence in its README.md')
