"""Faults of the carrier: the path of every phone to the front door."""
