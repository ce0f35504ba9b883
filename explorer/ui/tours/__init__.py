"""The guided tours, one file a page: `TOUR`, a table of steps."""
