"""The story: from one YAML file to an image, its papers, and what is told on the way."""
