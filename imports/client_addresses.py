"""Find the address of a client behind proxies, and the address under which it is counted."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network

# A provider assigns at least this network to each customer, who can use any address of it.
IPV6_CUSTOMER_BITS = 64


def find_forwarded_address(header_values: Iterable[str], proxies: int) -> str | None:
    """Return the address of the client that the outermost trusted proxy has reported.

    `header_values` are the values of X-Forwarded-For. Each of the `proxies` trusted proxies has
    added one address at their end. Earlier ones come from the client and count for nothing.
    Returns None if there is no address.
    """
    listed = (address.strip() for value in header_values for address in value.split(","))
    addresses = [address for address in listed if address]
    return addresses[-min(proxies, len(addresses))] if addresses else None


def get_counted_address(address: str) -> str:
    """Return the address under which a client is counted: for IPv6, that of its /64 network.

    A text that is no address is returned as it is.
    """
    try:
        parsed = ip_address(address.strip().strip("[]"))
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed), IPV6_CUSTOMER_BITS), strict=False).network_address)
