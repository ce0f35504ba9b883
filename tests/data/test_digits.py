"""The digits of scikit-learn without scikit-learn: python -m pytest tests/data/test_digits.py"""

import subprocess
import sys

import numpy as np
from sklearn.datasets import load_digits

from explorer.data.digits import scanned

HEAVY = ("sklearn", "pandas", "scipy", "pyarrow", "streamlit", "altair")
ASK = f"""
import sys
import explorer.training.task
from explorer import data
data.load("digits", "train")
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_they_are_those_that_its_own_reader_gives():
    found = load_digits()
    levels, y = scanned()
    np.testing.assert_array_equal(levels, found.images)
    np.testing.assert_array_equal(y, found.target)


def test_a_worker_that_learns_them_imports_nothing_large_beside_torch():
    done = subprocess.run([sys.executable, "-c", ASK], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["[]"]
