"""One training run: seeds, optimizers, steps, checkpoints, the loop. Nothing here knows Ray."""
