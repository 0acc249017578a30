"""Something between us and the archive that answers in its place."""

import io
from typing import Any

import requests
from depositors import POLICY, Carrier, Depositor
from urllib3.response import HTTPResponse

from release.deposit.records import Archive
from release.deposit.token import Token
from release.deposit.transport import Transport

# What is no answer of the archive, though its status is 404.
PAGES = [b"<html>Not here</html>", b"", b'{"error": "no route"}', b"[]"]


class Proxy(Carrier):
    """Answers some requests itself, with a page that says 404."""

    def __init__(
        self,
        depositor: Depositor,
        method: str,
        path: str,
        *,
        page: bytes = PAGES[0],
        count: int = 1_000_000,
    ) -> None:
        super().__init__(depositor)
        self.method, self.path, self.page, self.left = method, path, page, count

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        ours = request.method == self.method and str(request.url).endswith(self.path)
        if not ours or self.left == 0:
            return super().send(request, **kwargs)
        self.left -= 1
        response = requests.Response()
        response.status_code, response.url, response.request = 404, str(request.url), request
        response.headers["Content-Type"] = "text/html"
        response.raw = HTTPResponse(io.BytesIO(self.page), status=404, preload_content=False)
        return response


def behind(depositor: Depositor, method: str, path: str, **more: Any) -> Archive:
    """Give the archive, with a proxy before it."""
    transport = Transport(
        depositor.server.url,
        Token(depositor.server.token),
        POLICY,
        clock=depositor.clock,
        adapter=lambda: Proxy(depositor, method, path, **more),
    )
    depositor.archives.append(Archive(transport))
    return depositor.archives[-1]
