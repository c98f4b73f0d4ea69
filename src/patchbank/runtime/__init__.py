"""Threads, devices, memory, scratch files, atomic writes, progress and plugins."""
