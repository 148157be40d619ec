"""A finished run is corrected: only the masks that a correction touches are made again."""
