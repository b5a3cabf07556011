"""Training in PyTorch: configuration, data, augmentation, losses, the loop and its checkpoints."""
