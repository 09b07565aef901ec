"""From the archive's files to layers and tables: tasks, a whole run, daily updates, publication."""
