"""Commands that make layers and tables."""
