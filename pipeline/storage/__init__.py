"""Where files lie, how they are written whole, and how they prove what they were made of."""
