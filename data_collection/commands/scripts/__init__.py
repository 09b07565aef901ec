"""What the scripts do that no command does in the same way."""
