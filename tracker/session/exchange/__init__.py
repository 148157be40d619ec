"""Masks go out to the formats of other tools, and come in from them as a run."""
