"""The parts of the page about this server."""
