"""Objects on single images: found, measured, written to one table."""
