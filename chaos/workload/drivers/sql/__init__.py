"""Drivers of SQL databases."""
