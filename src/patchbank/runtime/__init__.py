"""Where the program computes: threads, devices, memory, scratch files, atomic writes, progress."""
