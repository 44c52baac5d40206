"""What stands on a card: partitions, file systems, boot files."""
