"""Amounts are whole numbers of an asset's units; people write decimals. Nothing is ever rounded."""
from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from .errors import TallystickError


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset as the engine knows it: one unit is 10^-scale."""

    code: str
    number: int
    scale: int


def units(text: str, asset: Asset) -> int:
    """`"0.0001"` in units. An amount that has more digits than the asset is an error."""
    found = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", text.strip())
    if not found:
        raise TallystickError(f'"{text}" is no amount: write it as in 0.0001')
    digits = (found[2] or "").rstrip("0")
    if len(digits) > asset.scale:
        raise TallystickError(
            f"{text} {asset.code} has more digits than the asset's {asset.scale}: nothing is rounded here")
    return int(found[1] + digits.ljust(asset.scale, "0"))


def decimal(amount: int, scale: int) -> str:
    """The other way: 100 with scale 6 is `"0.0001"`."""
    text = str(amount).rjust(scale + 1, "0")
    after = text[len(text) - scale:].rstrip("0")
    return text[:len(text) - scale] + (f".{after}" if after else "")


def parse_price(price: str | int | float) -> tuple[str, str]:
    """Takes a price apart: `"0.0001 EUR"`, `"$0.01"` and plain numbers, which are US dollars as everywhere in x402."""
    text = price.strip() if isinstance(price, str) else format(Decimal(str(price)), "f")
    found = re.fullmatch(r"(\$)?\s*([0-9]+(?:\.[0-9]+)?)(?:\s+(\S+))?", text)
    if not found or (found[1] and found[3]):
        raise TallystickError(f'"{price}" is no price: write it as in "0.0001 EUR"')
    return found[2], found[3] or "USD"
