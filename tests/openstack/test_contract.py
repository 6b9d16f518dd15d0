"""What every cloud promises, on a real OpenStack."""

from tests.conformance.cloud.test_administration import *  # noqa: F403
from tests.conformance.cloud.test_contract import *  # noqa: F403
