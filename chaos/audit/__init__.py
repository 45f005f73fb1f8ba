"""Where the copies of each record were when it was acknowledged, and which losses would take all of them.

A run is recorded without a fault, with everything that was written to every LUN. Every field and every sector of a
photo carries the stamp of its write, so the write logs tell when its bytes reached which LUN, and when they were
flushed there.
"""
