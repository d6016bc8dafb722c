"""The emotion service on a real server over a real port."""

from __future__ import annotations

import asyncio
import csv
from contextlib import asynccontextmanager

import grpc
import pytest

from oviya.errors import InvalidInput
from oviya.mesh.probe import is_serving
from oviya.mesh.testing import serve_for_test
from oviya.status import error_from_rpc
from oviya.v1 import emotion_pb2, emotion_pb2_grpc
from services.emotion.catalogue import DATA
from services.emotion.server import EmotionService
from services.emotion.settings import EmotionSettings

TIMEOUT_S = 10


@asynccontextmanager
async def serving():
    async with serve_for_test(EmotionService(EmotionSettings())) as served:
        yield served, emotion_pb2_grpc.EmotionServiceStub(served.channel)


async def detect(stub, *pieces: str):
    async def requests():
        for piece in pieces:
            yield emotion_pb2.DetectRequest(text=piece)

    return await stub.Detect(requests(), timeout=TIMEOUT_S)


async def refusal(call) -> InvalidInput:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    error = error_from_rpc(caught.value, "emotion")
    assert isinstance(error, InvalidInput)
    return error


async def test_it_is_serving_once_it_is_warm():
    async with serving() as (served, _):
        assert await asyncio.to_thread(is_serving, served.address, "oviya.v1.EmotionService")


async def test_list_has_all_49_in_the_order_of_the_table():
    with (DATA / "emotions.tsv").open(encoding="utf-8") as lines:
        table = list(csv.DictReader(lines, delimiter="\t"))
    async with serving() as (_, stub):
        listed = (await stub.ListEmotions(emotion_pb2.ListEmotionsRequest(), timeout=TIMEOUT_S)).emotions
        assert [info.plan.emotion for info in listed] == [row["emotion"] for row in table]
        for info, row in zip(listed, table, strict=True):
            assert (info.tier, info.plan.style) == (int(row["tier"]), row["style"])
            assert info.plan.pitch_scale == pytest.approx(float(row["pitch_scale"]))
            assert info.plan.rate_scale == pytest.approx(float(row["rate_scale"]))
            assert info.plan.energy_scale == pytest.approx(float(row["energy_scale"]))
            for name in [info.plan.emotion, *info.aliases]:
                answer = await stub.Map(emotion_pb2.MapRequest(emotion=name), timeout=TIMEOUT_S)
                assert answer.plan == info.plan


async def test_map_takes_an_alias_and_an_intensity():
    async with serving() as (_, stub):
        full = await stub.Map(emotion_pb2.MapRequest(emotion="joy"), timeout=TIMEOUT_S)
        assert (full.plan.emotion, full.alias_label) == ("joyful_excited", "happy")
        half = await stub.Map(emotion_pb2.MapRequest(emotion="JOY", intensity=0.5), timeout=TIMEOUT_S)
        assert half.plan.pitch_scale == pytest.approx(1.075)
        # An intensity of zero was set, and is not the default of 1.
        none = await stub.Map(emotion_pb2.MapRequest(emotion="joy", intensity=0.0), timeout=TIMEOUT_S)
        assert (none.plan.style, none.plan.energy_scale) == ("neutral", 1.0)
        empty = await stub.Map(emotion_pb2.MapRequest(), timeout=TIMEOUT_S)
        assert (empty.plan.emotion, empty.alias_label) == ("neutral", "")


async def test_map_refuses_bad_input_and_goes_on():
    async with serving() as (_, stub):
        unknown = await refusal(stub.Map(emotion_pb2.MapRequest(emotion="hapy"), timeout=TIMEOUT_S))
        assert (unknown.field, unknown.value, unknown.suggestions[0]) == ("emotion", "hapy", "happy")
        megabyte = await refusal(stub.Map(emotion_pb2.MapRequest(emotion="e" * (1 << 20)), timeout=TIMEOUT_S))
        assert megabyte.field == "emotion"
        for intensity in (-0.5, 1.5, float("nan")):
            error = await refusal(
                stub.Map(emotion_pb2.MapRequest(emotion="joy", intensity=intensity), timeout=TIMEOUT_S)
            )
            assert (error.field, error.limit) == ("intensity", "0 to 1")
        assert (await stub.Map(emotion_pb2.MapRequest(emotion="calm"), timeout=TIMEOUT_S)).plan.style == "calm"


async def test_detect_joins_the_pieces():
    async with serving() as (_, stub):
        split = await detect(stub, "i am so ha", "ppy to", "day")
        assert split == await detect(stub, "i am so happy today")
        assert split.emotions[0].emotion == "joyful_excited"
        assert split.valence > 0.5
        assert 0.5 < split.confidence <= 1
        assert (await detect(stub, "")).emotions[0].emotion == "neutral"


async def test_detect_refuses_bad_input_and_goes_on():
    async with serving() as (_, stub):
        error = await refusal(detect(stub, "a" * (1 << 20)))
        assert (error.field, error.value, error.limit) == (
            "text", "1048576 characters", "at most 8192 characters together",
        )  # fmt: skip
        assert (await refusal(detect(stub, "a" * 8000, "b" * 193))).value == "8193 characters"
        assert (await refusal(detect(stub))).field == "request"

        async def unset():
            yield emotion_pb2.DetectRequest()

        assert (await refusal(stub.Detect(unset(), timeout=TIMEOUT_S))).field == "request"
        assert (await detect(stub, "a" * 8192)).emotions[0].emotion == "neutral"
