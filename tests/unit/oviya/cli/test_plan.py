"""Ports and environment of a local mesh."""

from __future__ import annotations

import os
import socket

import pytest

from oviya.cli.local.plan import DEFAULT_PORTS, PortTaken, plan_mesh, plan_on_free_ports
from oviya.cli.local.ports import free_ports, is_free, owner_of
from oviya.errors import InvalidInput


def test_defaults_are_those_of_the_design():
    plan = plan_mesh({})
    assert plan.ports == {"stt": 50051, "brain": 50052, "emotion": 50053, "csm": 50054, "mimi": 50055, "gateway": 50050}
    assert plan.http_url == "http://localhost:8000"
    assert plan.address("gateway") == "127.0.0.1:50050"


def test_every_service_is_reported_its_port_and_the_gateway_where_the_others_are():
    plan = plan_mesh({"STT_PORT": "6001", "GATEWAY_HTTP_PORT": "8080", "HOME": "/home/me"}, grpc_port=6000)
    assert plan.env["STT_PORT"] == "6001"
    assert plan.env["GATEWAY_STT_ADDRESS"] == "127.0.0.1:6001"
    assert plan.env["GATEWAY_CSM_ADDRESS"] == "127.0.0.1:50054"
    assert (plan.env["GATEWAY_PORT"], plan.env["GATEWAY_HTTP_PORT"]) == ("6000", "8080")
    assert plan.env["HOME"] == "/home/me"


def test_options_win_over_the_environment_and_set_limits_stay():
    plan = plan_mesh({"GATEWAY_HTTP_PORT": "8080", "CSM_DRAIN_GRACE_S": "60"}, http_port=9000)
    assert plan.http_port == 9000
    assert plan.env["CSM_DRAIN_GRACE_S"] == "60"
    assert float(plan.env["MIMI_DRAIN_GRACE_S"]) < 10


def test_a_service_left_out_keeps_the_address_that_the_environment_gives():
    plan = plan_mesh({"GATEWAY_CSM_ADDRESS": "gpu:50054"}, without=["csm"])
    assert "csm" not in plan.ports
    assert plan.env["GATEWAY_CSM_ADDRESS"] == "gpu:50054"


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80.5", "٣"])
def test_a_port_that_is_none_is_refused(text):
    with pytest.raises(InvalidInput, match="BRAIN_PORT"):
        plan_mesh({"BRAIN_PORT": text})


def test_an_unknown_service_cannot_be_left_out():
    with pytest.raises(InvalidInput, match="stt, brain"):
        plan_mesh({}, without=["ears"])


def test_a_taken_port_is_named_with_its_owner_and_the_way_out():
    plan = plan_on_free_ports({})
    plan.check_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", plan.ports["mimi"]))
        other.listen()
        with pytest.raises(PortTaken, match=f"{plan.ports['mimi']}.*{os.getpid()}") as taken:
            plan.check_ports()
        assert not is_free(plan.ports["mimi"])
        assert str(os.getpid()) in owner_of(plan.ports["mimi"])
    assert "MIMI_PORT" in taken.value.hint
    plan.check_ports()


def test_two_services_on_one_port_are_refused():
    (port,) = free_ports(1)
    with pytest.raises(InvalidInput, match="same port"):
        plan_mesh({"STT_PORT": str(port), "CSM_PORT": str(port)}).check_ports()


def test_free_ports_are_different_and_free():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)
    plan = plan_on_free_ports({})
    assert len({*plan.ports.values(), plan.http_port}) == len(DEFAULT_PORTS) + 1


def test_services_keep_small_heaps_unless_the_environment_says_otherwise():
    assert plan_mesh({}).env["MALLOC_ARENA_MAX"] == "1"
    assert plan_mesh({}).env["MALLOC_TRIM_THRESHOLD_"] == "16777216"
    assert plan_mesh({"MALLOC_ARENA_MAX": "8"}).env["MALLOC_ARENA_MAX"] == "8"
