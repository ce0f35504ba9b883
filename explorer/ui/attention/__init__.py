"""The views of the attention page, one a file."""
