"""Where the trials of a search run: on stack copies of this machine, or on those of many machines."""
