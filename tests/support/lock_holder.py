"""A process that takes a lock, says so, and holds it until it is told to release it. Reads the URL from stdin."""

import sys

from trove.workflow.locks import Locks

if __name__ == "__main__":
    url, name = sys.stdin.readline().split()
    lock = Locks(url, "holder").try_lock(name)
    print("held" if lock else "refused", flush=True)
    if sys.stdin.readline() and lock is not None:
        lock.release()
        print("released", flush=True)
        sys.stdin.readline()
