"""The recorder: what the streams told, kept in daily parts below a data root."""
