"""What another package may bring: a network, an engine, a label format, a loss and a source, one file each."""
