"""Tools to test agents: a model that follows a script, a real model of 630 KB, and checks for leaks.

Public: `ScriptedProvider`, `Step` / `reply`, `scripted_client`; `tiny_model`, `tiny_gguf`; `cancel_everywhere`;
`leak_check`; `no_real_requests`; `virtual_time`. Importing it loads neither a model library nor an event loop.
"""

from aimu.testing._backends import Backend, virtual_time
from aimu.testing._canceller import Scenario, cancel_everywhere
from aimu.testing._embedded import tiny_gguf, tiny_model
from aimu.testing._leaks import leak_check
from aimu.testing._network import RealRequestError, no_real_requests
from aimu.testing._scripted import ScriptedProvider, Step, reply, scripted_client

__all__ = [
    "Backend",
    "RealRequestError",
    "Scenario",
    "ScriptedProvider",
    "Step",
    "cancel_everywhere",
    "leak_check",
    "no_real_requests",
    "reply",
    "scripted_client",
    "tiny_gguf",
    "tiny_model",
    "virtual_time",
]
