"""Records, datasets, files and figures of runs; only the checkpoints import torch."""
