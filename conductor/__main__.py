"""
`python -m conductor`, the same as the command `conductor`.
"""

from conductor._cli import main

if __name__ == "__main__":
    main()
