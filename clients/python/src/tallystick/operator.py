"""What an operator does, from a program. Needs `tallystick[grpc]`."""
from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence

from .connect import connect
from .money import Asset
from .token import Credential
from .v1 import operator_pb2, operator_pb2_grpc, vouchers_pb2

BILATERAL = operator_pb2.SETTLEMENT_MODEL_BILATERAL
MULTILATERAL = operator_pb2.SETTLEMENT_MODEL_MULTILATERAL


class Operator:
    """A connection for an operator, or the owner of parties. The everyday calls are methods here; each change has a random
    `request_id` if none is given: to repeat a change safely, give the same one again.

    Every other call: `operator.stub.GetWindow(request, metadata=operator.caller())`."""

    def __init__(self, server: str | Sequence[str], credential: Credential | None = None, *, tls_ca: str | None = None) -> None:
        """`server` is `HOST:PORT` on this machine, or `https://HOST:PORT`; of several nodes all of them, as a list or with
        commas between: calls go to the one that owns the journal."""
        self._channel, self.caller = connect(server, credential, tls_ca)
        self.stub = operator_pb2_grpc.OperatorStub(self._channel)

    def add_asset(self, asset: Asset, model: operator_pb2.SettlementModel.ValueType = MULTILATERAL,
                  request_id: str | None = None) -> None:
        """Creates an asset."""
        found = vouchers_pb2.Asset(number=asset.number, code=asset.code, scale=asset.scale)
        self.stub.CreateAsset(operator_pb2.CreateAssetRequest(request_id=_id(request_id), asset=found, model=model),
                              metadata=self.caller())

    def put_party(self, party: bytes, name: str, request_id: str | None = None) -> operator_pb2.Party:
        """Registers a party, or changes its name; its accounts stay."""
        found = operator_pb2.Party(party_id=party, name=name)
        keep = operator_pb2.Keep(suspended=True, accounts=True)
        return self.stub.UpsertParty(
            operator_pb2.UpsertPartyRequest(request_id=_id(request_id), party=found, keep=keep), metadata=self.caller())

    def add_signer(self, party: bytes, signer: bytes, caps: Mapping[int, int] | None = None,
                   request_id: str | None = None) -> operator_pb2.Signer:
        """Lets a key sign for a party; `caps`: the most that it may ever spend, in units, by the asset's number."""
        most = [operator_pb2.Cap(asset=asset, amount=amount) for asset, amount in (caps or {}).items()]
        found = operator_pb2.Signer(party_id=party, signer=signer, caps=most)
        return self.stub.AddSigner(operator_pb2.AddSignerRequest(request_id=_id(request_id), signer=found),
                                   metadata=self.caller())

    def set_budgets(self, signer: bytes, budgets: Iterable[operator_pb2.Budget],
                    request_id: str | None = None) -> operator_pb2.Budgets:
        """Replaces all budgets of a key."""
        request = operator_pb2.SetBudgetsRequest(request_id=_id(request_id), signer=signer, budgets=budgets)
        return self.stub.SetBudgets(request, metadata=self.caller())

    def revoke_signer(self, signer: bytes, request_id: str | None = None) -> operator_pb2.Signer:
        """Accepts a key no more, for ever."""
        return self.stub.RevokeSigner(operator_pb2.RevokeSignerRequest(request_id=_id(request_id), signer=signer),
                                      metadata=self.caller())

    def set_limit(self, party: bytes, asset: int, limit: int, request_id: str | None = None) -> operator_pb2.Exposure:
        """The most that a party may owe, in units."""
        request = operator_pb2.SetCreditLimitRequest(
            request_id=_id(request_id), party_id=party, asset=asset, limit=str(limit))
        return self.stub.SetCreditLimit(request, metadata=self.caller())

    def close_window(self, request_id: str | None = None) -> operator_pb2.Window:
        """Closes the open window; the next one opens at once."""
        return self.stub.CloseWindow(operator_pb2.CloseWindowRequest(request_id=_id(request_id)), metadata=self.caller())

    def obligations(self, window: int, asset: int) -> Mapping[tuple[bytes, bytes], int]:
        """(payer, payee) to what is owed, in units."""
        found = self.stub.ListObligations(operator_pb2.WindowAssetRequest(window=window, asset=asset),
                                          metadata=self.caller())
        return {(one.payer, one.payee): int(one.amount) for one in found}

    def status(self) -> operator_pb2.Status:
        """How the engine does."""
        return self.stub.GetStatus(operator_pb2.GetStatusRequest(), metadata=self.caller())

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


def _id(given: str | None) -> str:
    return given or secrets.token_hex(16)
