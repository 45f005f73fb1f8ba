"""How far a run is, from what it tells of itself."""
