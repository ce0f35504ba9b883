"""The views of the Training page, one a file."""
