"""Snapshots of a pass, and going on from the newest of them."""
