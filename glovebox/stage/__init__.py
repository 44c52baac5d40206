"""pi-gen's stage format: folders, lists, sources, templates."""
