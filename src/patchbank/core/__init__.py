"""Pure array functions: no I/O, no clock, no globals, no frameworks."""
