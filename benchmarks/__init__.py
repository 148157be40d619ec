"""Measurements, side by side and with the command that repeats them. Not installed."""
