"""A process that takes a lock, says so, and holds it until it is killed. Reads the URL from stdin."""

import sys
import time

from trove.workflow.locks import Locks

if __name__ == "__main__":
    url, name = sys.stdin.readline().split()
    lock = Locks(url, "holder").try_lock(name)
    print("held" if lock else "refused", flush=True)
    time.sleep(600)
