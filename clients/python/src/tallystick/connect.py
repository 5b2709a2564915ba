"""How a client comes to an engine's gRPC listener: address, TLS, and who calls. Needs `tallystick[grpc]`."""
from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import grpc

from .errors import TallystickError
from .nodes import OPTIONS, Nodes, addresses, target
from .token import Credential, bearer
from .v1 import vouchers_pb2, vouchers_pb2_grpc

LOCAL = ("127.0.0.1", "localhost", "[::1]")
# How long an engine may take to say which network a token is for.
NETWORK_SECONDS = 30.0
Metadata = tuple[tuple[str, str], ...]


def connect(server: str | Sequence[str], credential: Credential | None = None, tls_ca: str | None = None) -> tuple[
        grpc.Channel, Callable[[], Metadata]]:
    """A connection, and what says to it who calls, made anew for each call. `server` is `HOST:PORT` on this machine, or
    `https://HOST:PORT`; of several nodes all of them, as a list or with commas between. `tls_ca` is the file of the authority
    of its certificate, if the system does not know it."""
    names = addresses(server)
    for one in names:
        if credential is not None and not one.startswith("https://") and target(one).rpartition(":")[0] not in LOCAL:
            raise TallystickError("a key goes to another machine under TLS only: https://HOST:PORT")

    def opened(name: str) -> grpc.Channel:
        options = OPTIONS if len(names) > 1 else ()
        if name.startswith("https://"):
            trusted = grpc.ssl_channel_credentials(pathlib.Path(tls_ca).read_bytes() if tls_ca else None)
            return grpc.secure_channel(target(name), trusted, options)
        return grpc.insecure_channel(target(name), options)

    channel = opened(names[0]) if len(names) == 1 else Nodes(names, opened)
    if credential is None:
        return channel, lambda: ()
    known: list[bytes] = []

    def network() -> bytes:
        if not known:
            stub = vouchers_pb2_grpc.VouchersStub(channel)
            known.append(stub.GetNetwork(vouchers_pb2.GetNetworkRequest(), timeout=NETWORK_SECONDS).network_id)
        return known[0]

    header = bearer(credential, network)
    return channel, lambda: (("authorization", header()),)
