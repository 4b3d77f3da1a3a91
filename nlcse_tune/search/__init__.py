"""What to try next, and who wins. Optuna lives here and nowhere else; Ray is reached through `launch`."""
