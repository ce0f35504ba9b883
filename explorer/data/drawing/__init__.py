"""Draws scenes of which everything is known: the pixels of every object, its class, colour, size and place."""
