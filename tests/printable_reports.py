"""Reports of tests that processes can send to each other: names of files need not be UTF-8."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Replace what no UTF-8 has in the captured output; pytest-xdist cannot send it."""
    report = yield
    report.sections = [(title, _printable(text)) for title, text in report.sections]
    if report.longrepr is not None and not isinstance(report.longrepr, tuple):
        report.longrepr = _printable(str(report.longrepr))
    return report


def _printable(text):
    return text.encode("utf-8", "backslashreplace").decode()
