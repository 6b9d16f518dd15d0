"""Starts the guest agent on the control plane's own machine: `python -I -S guestagent_here.py PATH ARGUMENTS…`.

PATH is where modules are found, with colons: the interpreter need not search for it, which takes it longer than to start.
"""

import sys

if __name__ == "__main__":
    sys.path[:0] = sys.argv.pop(1).split(":")
    from trove.cmd.guestagent import main

    sys.exit(main())
