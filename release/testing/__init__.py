"""Does a client cope with whatever Zenodo does? A local archive to find out.

It keeps the contract of InvenioRDM's records API, with faults on demand:

>>> with ContractServer(folder) as server:  # doctest: +SKIP
...     server.inject(Fault(504, method="POST", path="actions/publish", when="after"))
...     deposit_to(server.url, server.token)
...     assert len(server.world.published()) == 1

`release.testing.plugin` has it as a pytest fixture.
"""

from release.testing.faults import Fault
from release.testing.record import RequestRecord
from release.testing.server import ContractServer

__all__ = ["ContractServer", "Fault", "RequestRecord"]
