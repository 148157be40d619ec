"""Is the mask still on the object? Asked during a run, and of its folder afterwards."""
