"""Faults of LUNs: of one disk, and of the array that several are on."""
