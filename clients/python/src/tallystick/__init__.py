"""Pay and be paid through a Tallystick clearing house.

- `Agent` pays: `Agent(key, facilitator).client()` is a client of httpx that pays when it is asked to.
- `tallystick.x402` has both sides for the packages of x402 (`tallystick[x402]`).
- `tallystick.grpc` streams vouchers and makes operators' calls (`tallystick[grpc]`)."""
from .agent import Agent, AsyncPayingTransport, Budget, PayingTransport, why_refused
from .engine import SCHEME, Network, ask_network
from .errors import BudgetError, PaymentInDoubtError, PaymentOverError, TallystickError
from .money import Asset, decimal, parse_price, units
from .store import FileLanes, LaneStore, MemoryLanes
from .token import Credential, KeyFile, read_credential, sign_token
from .voucher import AgentKey, Channel, Voucher

__all__ = [
    "SCHEME", "Agent", "AgentKey", "Asset", "AsyncPayingTransport", "Budget", "BudgetError", "Channel", "Credential",
    "FileLanes", "KeyFile", "LaneStore", "MemoryLanes", "Network", "PayingTransport", "PaymentInDoubtError",
    "PaymentOverError", "TallystickError", "Voucher", "ask_network", "decimal", "parse_price", "read_credential",
    "sign_token", "units", "why_refused",
]
