"""Client addresses: whom a limit by client counts for, behind proxies and without."""

from __future__ import annotations

import pytest

from services.gateway.client_address import ClientAddresses, client_limit, grpc_peer_address
from services.gateway.settings import GatewaySettings


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),  # no trusted proxy: the header is ignored
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # what the client wrote itself does not count
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::/64"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8::1", [], "2001:db8::/64"),
        ("::1", [], "::1"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("unix", ["198.51.100.1"], "unix"),
        ("", [], ""),
    ],
)
def test_only_trusted_proxies_name_other_clients(peer, forwarded, client):
    assert ClientAddresses(["10.0.0.0/8"]).name(peer, forwarded) == client


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:50000", "10.0.0.1"),
        ("ipv6:%5B2001:db8::1%5D:50000", "2001:db8::1"),
        ("ipv6:[::1]:50000", "::1"),
        ("unix:", "unix"),
        ("unix:/run/socket", "unix"),
    ],
)
def test_the_peer_of_a_call_is_reduced_to_its_address(peer, address):
    assert grpc_peer_address(peer) == address


def test_a_proxy_that_is_no_network_is_refused_at_the_start():
    with pytest.raises(ValueError, match="trusted_proxies"):
        GatewaySettings(trusted_proxies=["proxy.example"])


@pytest.mark.parametrize(
    ("client", "limit", "expected"),
    [
        ("10.0.0.1", None, 32),
        ("127.0.0.1", None, 64),
        ("::1", None, 64),
        ("unix", None, 64),
        ("2001:db8::/64", None, 32),
        ("127.0.0.1", 5, 5),
    ],
)
def test_half_of_the_places_are_one_client_s_and_this_machine_has_no_limit(client, limit, expected):
    assert client_limit(client, limit, 64) == expected
    assert client_limit(client, limit, 1) == (limit or 1)
