"""What other tools put on the card to set a board up, read as if it stood in glovebox.yaml.

Raspberry Pi Imager writes one of three forms, each also known without it; see docs/card.md.
"""
