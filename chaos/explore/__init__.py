"""Every crash state of one recorded run: recovered with the service's own images, and checked.

A run is recorded once, without a fault, with everything that was written to every LUN. Then, for a power cut of the
whole stack at any instant of it, it is known what each LUN would have held; the services are started on that, and every
record that was acknowledged before that instant must be there.
"""
