"""Archive ZIPs to frames: one file, a month of files, trades condensed to minutes."""
