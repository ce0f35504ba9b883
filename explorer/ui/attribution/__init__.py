"""The Saliency page, piece by piece: what is asked, of which methods, and one file for each way to look at it."""
