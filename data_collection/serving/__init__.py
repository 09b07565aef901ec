"""Reading what was made: layers as frames and as SQL views."""
