"""Runs a script and ends at once when it is done.

usage: script.py SCRIPT [ARGUMENT…]

pyarrow's threads may abort, or hang, an interpreter that ends in order after its work is done
(apache/arrow issues 34314 and 50482): nothing of ours, and nothing of what a script found.
"""

import os
import runpy
import sys

del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
