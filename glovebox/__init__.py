"""Glovebox: one YAML file in, a flashable and proven Raspberry Pi image out."""
