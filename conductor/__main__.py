"""
`python -m conductor`, the same as the command `conductor`.
"""

import sys

# With -m the interpreter puts the working directory first; nobody asked for components to be found there.
if not sys.flags.safe_path:
    del sys.path[:1]

from conductor._cli import main

if __name__ == "__main__":
    main()
