"""`python -m nlcse_tune` is `nlcse-tune`."""

from nlcse_tune.cli.main import main

main()
