"""Faults of a service's processes."""
