"""Commands about archive files."""
