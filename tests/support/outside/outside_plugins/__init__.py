"""What another package may bring: a network, an engine, a label format and a source, one file each."""
