"""Commands of the documentation that take half a minute or more, after those before them."""

import pytest

from tests.page_commands import SLOW, needs_of, run_page
from tests.page_photographs import write_photographs


def slow_pages():
    for name in SLOW:
        marks = [getattr(pytest.mark, need) for need in sorted(needs_of(name))]
        yield pytest.param(name, marks=[pytest.mark.site, *marks])


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
@pytest.mark.parametrize("name", list(slow_pages()))
def test_all_commands_of_a_page_run(name, tmp_path):
    for place in ("reader", "made"):
        (tmp_path / place).mkdir()
    write_photographs(tmp_path / "reader")
    run_page(name, tmp_path / "reader", tmp_path / "made", slow=True)
