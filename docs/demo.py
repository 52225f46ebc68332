"""A demo that needs neither a key nor the network: agents with tools on the model that comes with aimu.

    python docs/demo.py             # on asyncio, then on trio
    python docs/demo.py --seed 7    # the same numbers and the same weather again
    python docs/demo.py --scripted  # without weights: scripted answers replace the model

It is the command `aimu demo`; `aimu/_cli/demo.py` has its code.
"""

import sys

from aimu._cli.main import entry

entry(["demo", *sys.argv[1:]])
