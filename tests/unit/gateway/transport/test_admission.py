"""Admission: who gets a place, and whose is displaced, on a clock that stands still until it is moved."""

from __future__ import annotations

import itertools

import pytest

from oviya.errors import Busy
from services.gateway.transport.admission import Admission, AdmissionLimits, OfferInUse

_offers = itertools.count()


class Door:
    """An admission, its clock, and what it gave."""

    def __init__(self, **limits):
        self.now = 0.0
        self.admission = Admission(AdmissionLimits(**limits), lambda: self.now)

    def admit(self, client="10.0.0.1", offer=None, *, heard=False, connected=False):
        self.now += 0.001
        place = self.admission.admit(client, offer or f"offer {next(_offers)}".encode())
        place.heard, place.connected = heard or connected, connected
        return place


def test_an_offer_makes_one_connection_however_often_it_is_sent():
    door = Door()
    place = door.admit(offer=b"the same")
    for client in ("10.0.0.1", "10.0.0.2"):
        with pytest.raises(OfferInUse):
            door.admit(client, offer=b"the same")
    place.connected = True
    with pytest.raises(OfferInUse):
        door.admit(offer=b"the same")
    door.admission.release(place)
    door.admit(offer=b"the same")


def test_a_client_displaces_its_own_oldest_silent_place():
    door = Door(connecting_per_client=2)
    other = door.admit("10.0.0.2")
    (
        heard,
        first,
    ) = door.admit(heard=True), door.admit()
    last = door.admit()
    assert [place.displaced for place in (other, heard, first, last)] == [False, False, True, False]


def test_places_heard_from_a_moment_ago_are_kept_and_stuck_ones_displaced():
    door = Door(connecting_per_client=2, stuck_s=5.0)
    heard = [door.admit(heard=True), door.admit(heard=True)]
    with pytest.raises(Busy, match="too many browsers are connecting"):
        door.admit()
    door.now += 5.0
    door.admit()
    assert [place.displaced for place in heard] == [True, False]


def test_the_client_with_most_connecting_places_gives_one_up():
    door = Door(connecting=5, connecting_per_client=8)
    few = door.admit("10.0.0.2")
    many = [door.admit("10.0.0.3") for _ in range(4)]
    door.admit("10.0.0.4")
    assert [place.displaced for place in many] == [True, False, False, False]
    assert not few.displaced


def test_clients_with_one_place_each_make_room_for_a_new_one():
    door = Door(connecting=3)
    places = [door.admit(f"10.0.0.{index}") for index in range(3)]
    door.admit("10.0.0.9")
    assert [place.displaced for place in places] == [True, False, False]


def test_a_client_with_as_many_places_as_others_displaces_only_its_own():
    door = Door(connecting=4)
    others = [door.admit("10.0.0.2"), door.admit("10.0.0.2")]
    own = [door.admit("10.0.0.3"), door.admit("10.0.0.3")]
    door.admit("10.0.0.3")
    assert [place.displaced for place in others + own] == [False, False, True, False]


def test_silent_places_make_room_where_all_are_taken_and_connected_ones_never():
    door = Door(places=4, scarce="UDP ports", per_client=4)
    for _ in range(3):
        door.admit(connected=True)
    silent = door.admit("10.0.0.2")
    late = door.admit("10.0.0.3")
    assert silent.displaced
    late.connected = True
    with pytest.raises(Busy, match="all 4 UDP ports are taken"):
        door.admit("10.0.0.4")


def test_one_client_cannot_hold_all_places():
    door = Door(places=8)
    for _ in range(4):
        door.admit(connected=True)
    with pytest.raises(Busy, match=r"10\.0\.0\.1 holds all 4 sessions") as caught:
        door.admit()
    assert "GATEWAY_MAX_SESSIONS_PER_CLIENT" in caught.value.hint
    door.admit("10.0.0.2")


def test_a_displaced_place_is_not_counted_until_it_is_released():
    door = Door(places=1)
    first = door.admit()
    second = door.admit("10.0.0.2")
    assert first.displaced
    door.admission.release(first)
    assert len(door.admission) == 1
    second.connected = True
    with pytest.raises(Busy):
        door.admit("10.0.0.3")
