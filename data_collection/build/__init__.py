"""What makes the data of a root from its sources."""
