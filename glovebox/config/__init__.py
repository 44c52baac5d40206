"""What a person writes: image.yaml as one frozen tree, its rules, and mistakes told at once."""
