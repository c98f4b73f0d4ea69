"""What holds for the tests and for the doctests of the package: markers of requirements."""

pytest_plugins = ["tests.requirements"]
