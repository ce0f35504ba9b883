"""The views of the Diffusion page."""
