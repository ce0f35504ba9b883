"""What runs in the browser: one script and one style sheet for each component."""
