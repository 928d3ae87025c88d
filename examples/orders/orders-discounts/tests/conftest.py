"""
Makes the distribution importable without installing it, as being installed is what puts it in charge of prices.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
