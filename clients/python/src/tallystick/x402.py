"""Both sides for the packages of x402: a scheme for its clients, one for its resource servers. Needs `tallystick[x402]`."""
from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from x402 import x402Client, x402ClientSync, x402ResourceServer, x402ResourceServerSync
from x402.client_base import SpendControlAsset, SpendControls
from x402.http import (
    FacilitatorConfig, HTTPFacilitatorClient, HTTPFacilitatorClientSync, PaymentOption, RouteConfig,
)
from x402.http.facilitator_client_base import CreateHeadersAuthProvider
from x402.interfaces import PaymentPayloadContext, PaymentFlowConfig, SchemePaymentRequiredContext
from x402.schemas import (
    AbortResult, AssetAmount, PaymentPayload, PaymentRequirements, PaymentResponseContext, Price, RecoveredResponseResult,
    SettleResponse, SupportedKind, VerifyResponse, VerifyResultContext,
)
from x402.schemas.hooks import PaymentCreationContext, VerifiedPaymentCanceledContext, VerifyFailureContext
from x402.schemas.v1 import PaymentPayloadV1, PaymentRequirementsV1

from .agent import PAYMENT_IDENTIFIER, Agent, Said, Track, adrive, drive, identifier
from .engine import SCHEME, Network, ask_network, read_network, wrong_credential
from .errors import TallystickError
from .lanes import Payment
from .money import Asset, parse_price, units
from .token import Credential, bearer

AnyPayload = PaymentPayload | PaymentPayloadV1
AnyRequirements = PaymentRequirements | PaymentRequirementsV1
# How many requests under way are remembered, and how many refusals until their 402 is made.
TRACKS = 10_000
# Of so many payments it is known for which request they were.
PAYMENTS = 50_000
# How often an answer is made again if nothing else is said: twice as often as our agents send a payment by themselves.
REPEATS = 7
log = logging.getLogger("tallystick")


def register(agent: Agent, client: x402Client | x402ClientSync, controls: SpendControls | None = None) -> None:
    """Has a client of x402 pay with an agent, and allows the network's assets there; other controls stay if given."""
    is_async = isinstance(client, x402Client)
    client.register(agent.network.name, AsyncClientScheme(agent) if is_async else ClientScheme(agent))
    merged: SpendControls = {**(controls or {})}
    allowed = merged.get("allowed_assets", [])
    merged["allowed_assets"] = True if allowed is True else [*allowed, *spend_controls(agent)]
    client.set_spend_controls(merged)


def spend_controls(agent: Agent) -> list[SpendControlAsset]:
    """What `spend_controls["allowed_assets"]` must hold: without it x402 refuses assets that it does not know."""
    entries: list[SpendControlAsset] = []
    for asset in agent.network.assets:
        entry: SpendControlAsset = {"network": agent.network.name, "asset": asset.code}
        most = agent.most_at_once(asset)
        if most is not None:
            entry["max_amount_per_payment"] = str(most)
        entries.append(entry)
    return entries


class _Scheme:
    """What both flavours share."""

    scheme = SCHEME

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        # Where x402 looks for a client scheme's hooks.
        self.scheme_hooks = self
        self._lock = threading.Lock()
        # x402 tells of a request by its requirements alone, the same object each time: kept, so that no other gets its id.
        self._tracks: OrderedDict[int, tuple[object, Track]] = OrderedDict()
        # By identifier: two payments may have one voucher.
        self._underway: OrderedDict[str, tuple[Payment, Track]] = OrderedDict()

    def create_payment_payload(self, requirements: PaymentRequirements,
                               context: PaymentPayloadContext | None = None) -> dict[str, Any]:
        """Signs a payment: what x402's clients call."""
        want, track = self._agent.check(requirements.model_dump(by_alias=True)), self._track(requirements)
        payment = self._agent.begin(want, track)
        if payment is None:
            raise TallystickError("all lanes to this payee are out: raise max_lanes, or pay less at once")
        payload = self._agent.payload(payment)
        with self._lock:
            self._underway[payment.id] = (payment, track)
            while len(self._underway) > TRACKS:
                self._underway.popitem(last=False)
        declared = (context.extensions or {}).get(PAYMENT_IDENTIFIER) if context else None
        return {**payload, "__extensions": {PAYMENT_IDENTIFIER: identifier(payment.id, declared)}}

    def _track(self, requirements: object) -> Track:
        with self._lock:
            found = self._tracks.setdefault(id(requirements), (requirements, Track()))
            while len(self._tracks) > TRACKS:
                self._tracks.popitem(last=False)
        return found[1]

    def _answered(self, context: PaymentResponseContext) -> tuple[Payment, Track, Said] | None:
        made = (getattr(context.payment_payload, "extensions", None) or {}).get(PAYMENT_IDENTIFIER) or {}
        with self._lock:
            found = self._underway.pop(str((made.get("info") or {}).get("id")), None)
        if found is None:
            return None
        settled, required = (
            None if model is None else model.model_dump(by_alias=True)
            for model in (context.settle_response, context.payment_required))
        return *found, Said(settled, required)


class ClientScheme(_Scheme):
    """For `x402ClientSync`."""

    def on_before_payment_creation(self, context: PaymentCreationContext) -> None:
        """Lanes in doubt are asked about before one is needed."""
        drive(self._agent.ask_doubts())

    def on_payment_response(self, context: PaymentResponseContext) -> RecoveredResponseResult | None:
        """Where the payment stands now, and whether it is to be sent again."""
        found = self._answered(context)
        if found is None:
            return None
        return RecoveredResponseResult() if drive(self._agent.answering(*found)) else None


class AsyncClientScheme(_Scheme):
    """For `x402Client`."""

    async def on_before_payment_creation(self, context: PaymentCreationContext) -> None:
        """Lanes in doubt are asked about before one is needed."""
        await adrive(self._agent.ask_doubts())

    async def on_payment_response(self, context: PaymentResponseContext) -> RecoveredResponseResult | None:
        """Where the payment stands now, and whether it is to be sent again."""
        found = self._answered(context)
        if found is None:
            return None
        is_again = await adrive(self._agent.answering(*found))
        return RecoveredResponseResult() if is_again else None


class Seller:
    """A seller: what x402's middleware must be given."""

    def __init__(self, facilitator: str, pay_to: str, credential: Credential | None = None, *,
                 network: Network | None = None, timeout: float = 90.0, repeats: int = REPEATS) -> None:
        """`facilitator` is the engine's base URL for HTTP; `pay_to` the party that is paid, 64 hexadecimal digits; `credential`
        says who calls, where the engine asks for it. If `network` is not given, the engine is asked for it now, and whether
        it takes the credential: if it does not, the logger `tallystick` says why, and every payment will be refused. `repeats`:
        how often an answer is made again for one payment, when it is repeated."""
        if len(pay_to) != 64 or set(pay_to) - set("0123456789abcdef"):
            raise TallystickError("pay_to is a party's id: 64 hexadecimal digits")
        self.network = found = network or ask_network(facilitator)
        self._pay_to = pay_to
        self._repeats = repeats
        provider = header = None
        if credential is not None:
            header = bearer(credential, lambda: found.id)
            provider = CreateHeadersAuthProvider(lambda: _headers(header))
        wrong = None if network else wrong_credential(facilitator, header() if header else None)
        if wrong:
            log.error("no payment can be taken: %s", wrong)
        self._config = FacilitatorConfig(url=facilitator, timeout=timeout, auth_provider=provider)

    def server(self) -> x402ResourceServer:
        """For FastAPI's `payment_middleware(routes, seller.server())`."""
        scheme = ServerScheme(self.network.assets, self._repeats)
        return x402ResourceServer(_Facilitator(self._config, scheme)).register(self.network.name, scheme)

    def server_sync(self) -> x402ResourceServerSync:
        """For Flask's `payment_middleware(app, routes, seller.server_sync())`."""
        scheme = ServerScheme(self.network.assets, self._repeats)
        return x402ResourceServerSync(_FacilitatorSync(self._config, scheme)).register(self.network.name, scheme)

    def price(self, price: str | int | float, **more: Any) -> RouteConfig:
        """A route's configuration: `seller.price("0.0001 EUR")`. More of x402's fields of an option may be given."""
        return RouteConfig(accepts=PaymentOption(
            scheme=SCHEME, network=self.network.name, pay_to=self._pay_to, price=price, **more))


class _Facilitator(HTTPFacilitatorClient):
    def __init__(self, config: FacilitatorConfig, scheme: ServerScheme) -> None:
        super().__init__(config)
        self._scheme = scheme

    async def verify(self, payload: AnyPayload, requirements: AnyRequirements) -> VerifyResponse:
        return self._scheme.verified(payload, await super().verify(payload, requirements))

    async def settle(self, payload: AnyPayload, requirements: AnyRequirements) -> SettleResponse:
        try:
            settled = await super().settle(payload, requirements)
        except Exception:
            # Of these x402's hooks are not told.
            self._scheme.failed(payload)
            raise
        return self._scheme.settled(payload, settled)


class _FacilitatorSync(HTTPFacilitatorClientSync):
    def __init__(self, config: FacilitatorConfig, scheme: ServerScheme) -> None:
        super().__init__(config)
        self._scheme = scheme

    def verify(self, payload: AnyPayload, requirements: AnyRequirements) -> VerifyResponse:
        return self._scheme.verified(payload, super().verify(payload, requirements))

    def settle(self, payload: AnyPayload, requirements: AnyRequirements) -> SettleResponse:
        try:
            settled = super().settle(payload, requirements)
        except Exception:
            self._scheme.failed(payload)
            raise
        return self._scheme.settled(payload, settled)


def _headers(header: Callable[[], str]) -> dict[str, dict[str, str]]:
    headers = {"authorization": header()}
    return {"verify": headers, "settle": headers, "supported": {}}


class ServerScheme:
    """The scheme `batch-settlement` on a Tallystick network, as x402's resource servers take it."""

    scheme = SCHEME
    default_asset_transfer_method = "default"
    dynamic_extra_fields = ["tallystick"]

    def __init__(self, assets: tuple[Asset, ...] = (), repeats: int = REPEATS) -> None:
        """Assets are learned from the facilitator if they are not given."""
        self._assets = assets
        self._repeats = repeats
        self._lock = threading.Lock()
        # What the engine said of a payment that it refused, by signature; then by the request, until its 402 takes it along.
        self._refused: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._told: OrderedDict[int, tuple[object, str, dict[str, Any]]] = OrderedDict()
        # For which request a payment was, and how often its handler was let begin and did not fail.
        self._served: OrderedDict[str, tuple[str, int]] = OrderedDict()

    @property
    def payment_flows(self) -> dict[str, PaymentFlowConfig]:
        """Verified before the handler, settled after it."""
        return {"default": {"supported": ["authorization"], "default": "authorization"}}

    def validate_facilitator_support(self, network: str, supported_kind: SupportedKind,
                                     facilitator_extensions: list[str]) -> str | None:
        """Learns the network's assets."""
        found = read_network(network, supported_kind.extra)
        if found is None:
            return f"the facilitator does not say which assets {network} has"
        self._assets = found.assets
        return None

    def parse_price(self, price: Price, network: str) -> AssetAmount:
        """A price in units of its asset; nothing is rounded."""
        if isinstance(price, (str, int, float)):
            text, code = parse_price(price)
            amount = units(text, self._asset(code))
            if not amount:
                raise TallystickError(f"a price of {price} is nothing: leave the route free")
            return AssetAmount(asset=code, amount=str(amount))
        given = price if isinstance(price, AssetAmount) else AssetAmount.model_validate(price)
        self._asset(given.asset)
        return given

    def get_asset_decimals(self, asset: str, network: str) -> int | None:
        """How many decimals an asset has."""
        return next((one.scale for one in self._assets if one.code == asset), None)

    def enhance_payment_requirements(self, requirements: PaymentRequirements, supported_kind: SupportedKind,
                                     extensions: list[str]) -> PaymentRequirements:
        """Says which asset is meant, as the engine knows it."""
        asset = self._asset(requirements.asset)
        extra = {"networkId": (supported_kind.extra or {}).get("networkId"), "assetNumber": asset.number,
                 "scale": asset.scale}
        return requirements.model_copy(update={"extra": {**(requirements.extra or {}), **extra}})

    def verified(self, payload: object, result: VerifyResponse) -> VerifyResponse:
        """Keeps what the engine says of a payment that it refuses: of that, x402's hooks are told the reason alone."""
        extra = result.extra or {}
        if not result.is_valid and "channel" in extra:
            said: dict[str, Any] = {name: extra[name] for name in ("channel", "charged", "expected") if name in extra}
            if result.invalid_message:
                said["message"] = result.invalid_message
            with self._lock:
                _keep(self._refused, _signature(payload), said)
        return result

    def settled(self, payload: object, result: SettleResponse) -> SettleResponse:
        """What was not made is not answered."""
        if not result.success:
            self.failed(payload)
        return result

    def on_verify_failure(self, context: VerifyFailureContext) -> None:
        """The 402 that follows is made for the request, without its payment."""
        with self._lock:
            said = self._refused.pop(_signature(context.payment_payload), None)
            if said is not None and context.transport_context is not None:
                network = context.payment_payload.get_network()
                _keep(self._told, id(context.transport_context), (context.transport_context, network, said))

    def after_verify(self, context: VerifyResultContext) -> AbortResult | None:
        """A good payment has come. One for another request, and one that was answered too often, are refused here."""
        request = _request(context.transport_context)
        if not context.result.is_valid or request is None:
            return None
        signature = _signature(context.payment_payload)
        with self._lock:
            was, times = self._served.get(signature, (request, 0))
            if was == request and times <= self._repeats:
                _keep(self._served, signature, (request, times + 1), PAYMENTS)
                return None
            refused = AbortResult("invalid_payload", "this payment was for another request")
            if was == request:
                most = f"its answer is made {self._repeats + 1} times at most for one payment: pay anew"
                refused = AbortResult("already_answered", most)
            said = (context.transport_context, context.payment_payload.get_network(), {"message": refused.message})
            _keep(self._told, id(context.transport_context), said)
        return refused

    def on_verified_payment_canceled(self, context: VerifiedPaymentCanceledContext) -> None:
        """The handler failed: that is no answer. What was refused above was not counted."""
        if id(context.transport_context) not in self._told:
            self.failed(context.payment_payload)

    def failed(self, payload: object) -> None:
        """No answer was given for a payment that was good: it does not count."""
        signature = _signature(payload)
        with self._lock:
            request, times = self._served.pop(signature, ("", 0))
            if times > 1:
                _keep(self._served, signature, (request, times - 1), PAYMENTS)

    def enrich_payment_required_response(self, context: SchemePaymentRequiredContext) -> list[PaymentRequirements] | None:
        """Takes along what the engine said, so that the buyer's lane is taken up from there."""
        with self._lock:
            _, network, said = self._told.pop(id(context.transport_context), (None, "", None))
        if said is None:
            return None
        return [
            one.model_copy(update={"extra": {**(one.extra or {}), "tallystick": said}})
            if one.scheme == SCHEME and one.network == network else one
            for one in context.requirements
        ]

    def _asset(self, code: str) -> Asset:
        for one in self._assets:
            if one.code == code:
                return one
        known = ", ".join(one.code for one in self._assets)
        raise TallystickError(f"the network has no asset {code}; it has {known or 'none'}")


def _signature(payload: Any) -> str:
    return str(payload.payload.get("signature")).lower()


def _request(transport: Any) -> str | None:
    """Method and address of a request, hashed, where the transport is HTTP."""
    adapter = getattr(getattr(transport, "request", None), "adapter", None)
    if adapter is None:
        return None
    return hashlib.sha256(f"{adapter.get_method()} {adapter.get_url()}".encode()).hexdigest()


def _keep(store: OrderedDict[Any, Any], name: object, value: object, most: int = TRACKS) -> None:
    store[name] = value
    while len(store) > most:
        store.popitem(last=False)
