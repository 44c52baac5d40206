"""Ask an image, an emulated board or a real one whether it is what it should be."""
