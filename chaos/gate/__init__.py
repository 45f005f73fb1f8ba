"""`holdfast gate`: from many trials to GO, NO-GO or no decision."""
