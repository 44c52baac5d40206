"""The producer: vehicles on made roads, with all that befalls records on their way home."""
