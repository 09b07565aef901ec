"""Commands of the live client."""
