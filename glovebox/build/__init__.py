"""Run the steps of a plan whose results are missing, and assemble the image."""
