"""Inference engines behind one protocol: one backend a file, chosen by ``registry.open_backend``."""
