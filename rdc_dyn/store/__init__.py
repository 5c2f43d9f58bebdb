"""Files of runs and sweeps; only the checkpoints import torch."""
