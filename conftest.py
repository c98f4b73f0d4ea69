"""What holds for the tests and for the doctests of the package: markers of requirements."""

pytest_plugins = ["tests.requirements", "tests.printable_reports", "tests.server.real_servers"]

collect_ignore = [
    "tests/plugin",  # a package of its own, which a test builds and installs
    "src/patchbank/server/records/migrations/env.py",  # runs in Alembic only
]
