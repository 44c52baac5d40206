"""Programs of the board itself, beside the service: its disk."""
