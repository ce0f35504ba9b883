"""What the Activations page draws, a file for each view."""
