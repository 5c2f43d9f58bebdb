"""What is kept: records, datasets, files, figures. Nothing here imports torch but the checkpoints."""
