"""Ray and Optuna live here, and nowhere else."""
