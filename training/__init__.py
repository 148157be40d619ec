"""How the demo models were made. Not installed with the package."""
