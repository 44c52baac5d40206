"""What the owner puts on the boot partition: read, checked, kept on the data partition, wiped."""
