"""What every long-running command needs of the machine: locks, logs, signals, processes."""
