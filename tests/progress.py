"""Progress that tests can look at."""

from contextlib import contextmanager

from patchbank.runtime.progress import NullProgress


class Recorder(NullProgress):
    """Keeps the steps of each task."""

    def __init__(self):
        self.steps = {}

    @contextmanager
    def task(self, title, total):
        """Count the steps."""
        self.steps[title] = [total, 0]

        def advance(steps):
            self.steps[title][1] += steps

        yield advance
