"""Trove: Database as a Service on OpenStack and on a single machine."""

import sys

__version__ = "0.1.0"

# Threads alone. Several oslo libraries load eventlet wherever it is installed, and oslo.messaging's requirements install it.
sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]
