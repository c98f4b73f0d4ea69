"""The routes by subject; each module has its endpoints, and their specifications in `SPECS`."""
