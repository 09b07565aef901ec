"""What a person looks at: the quality report and the monitor."""
