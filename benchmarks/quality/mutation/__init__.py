"""The parts of `mutants.py`: mutators, selection of tests, runs of tests."""
