"""From a trained network to the artifact that runs on a device."""
