"""The boards, what the firmware reads of config.txt, and what a board draws."""
