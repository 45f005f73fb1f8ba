"""The figures that Holdfast promises, measured against their bounds: `python -m tests.bench`, or `make bench`."""
