"""Before any test is collected: what `trove` keeps out of its processes stays out of the tests' process, too."""

import trove  # noqa: F401
