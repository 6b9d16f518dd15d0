"""Runs tests of a tempest plugin as they are, only that it looks oftener where it waits: here an instance is up in a second."""

import sys
import time
import unittest

from oslo_service import loopingcall

FASTER = 25

sleep = time.sleep
start = loopingcall.FixedIntervalWithTimeoutLoopingCall.start


def start_faster(self, interval, initial_delay=None, **more):
    """Start with shorter pauses."""
    return start(self, interval / FASTER, None if initial_delay is None else initial_delay / FASTER, **more)


time.sleep = lambda seconds: sleep(seconds / FASTER)
loopingcall.FixedIntervalWithTimeoutLoopingCall.start = start_faster

if __name__ == "__main__":
    unittest.main(module=None, argv=[sys.argv[0], "-v", *sys.argv[1:]])
