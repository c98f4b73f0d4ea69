"""Array functions: no I/O and no frameworks; storage, threads and devices come from `runtime`."""
