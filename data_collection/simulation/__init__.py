"""Stand-ins for the outside world, to try everything without a network."""
