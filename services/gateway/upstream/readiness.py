"""The state of the other services, the models that they loaded, and the consequences for a conversation."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import grpc
import structlog
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oviya.errors import OviyaError
from oviya.mesh.background import BackgroundLoops
from oviya.mesh.channel import WITHOUT_PROXY
from oviya.text.language_tags import primary
from oviya.v1 import brain_pb2, csm_pb2, mimi_pb2, stt_pb2
from services.gateway import metrics
from services.gateway.settings import GatewaySettings
from services.gateway.upstream.clients import GRPC_NAMES, Mesh, typed_errors

log = structlog.get_logger()

State = Literal["serving", "starting", "missing"]

NEEDED = ("stt", "brain")
"""Services that a conversation requires.  Without emotion, replies are spoken neutrally; without CSM and Mimi, the
fallback voice speaks."""

CONSEQUENCES = {
    "stt": "speech is not heard; typed turns work",
    "brain": "nothing is answered",
    "emotion": "replies are spoken neutrally",
    "csm": "the fallback voice speaks",
    "mimi": "the fallback voice speaks",
}
STATE_WORDS = {"missing": "cannot be reached", "starting": "is not ready yet"}


@dataclass
class ServiceState:
    """The last known state of a service.  `model` is None until the service has reported it."""

    state: State = "missing"
    model: Any = None
    asked_at: float = field(default=float("-inf"))


@dataclass(frozen=True)
class CheckpointSpeech:
    """What a checkpoint can speak: its name, its scripts (empty: any), and its languages, the main one first (empty: it
    does not say)."""

    name: str = "csm"
    scripts: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def speaks(self, language: str) -> bool:
        """Whether it speaks a language (BCP 47), or may speak it; empty: unknown."""
        return not language or not self.languages or primary(language) in map(primary, self.languages)


class Readiness:
    """Follows the health of the five services and the models that they loaded.

    A service counts as serving while its channel is ready: the channel checks grpc.health.v1 of every replica and is
    ready while one of them serves, which is what calls depend on.
    """

    def __init__(self, mesh: Mesh, settings: GatewaySettings) -> None:
        self._mesh = mesh
        self._settings = settings
        self._services = {name: ServiceState() for name in GRPC_NAMES}
        self._probes: dict[str, aio.Channel] = {}
        self.draining = False
        """Whether the gateway is stopping and refuses new sessions."""
        self._own: dict[str, str] = {}

    def start(self, loops: BackgroundLoops) -> None:
        """Starts to check every service; a missing service is not an error.

        Args:
            loops: run the checks; they end before `close`.
        """
        options = [("grpc.max_reconnect_backoff_ms", 1_000), *WITHOUT_PROXY]
        for name, address in self._mesh.addresses.items():
            self._probes[name] = aio.insecure_channel(address, options=options)
        for name in GRPC_NAMES:
            loops.start(f"readiness of {name}", partial(self._follow, name))

    async def close(self) -> None:
        """Closes the channels of the checks."""
        for probe in self._probes.values():
            await probe.close()

    def is_serving(self, service: str) -> bool:
        """Returns whether `service` is expected to answer calls."""
        return self._services[service].state == "serving"

    @property
    def ready(self) -> bool:
        """Whether a conversation can be held."""
        return not self.draining and all(self.is_serving(name) for name in NEEDED)

    @property
    def _csm_model(self) -> csm_pb2.CsmServiceGetModelResponse:
        """What CSM reported of its checkpoint; empty: nothing yet."""
        return self._services["csm"].model or csm_pb2.CsmServiceGetModelResponse()

    @property
    def styles(self) -> frozenset[str]:
        """Style tokens that CSM's checkpoint was trained with."""
        return frozenset(self._csm_model.styles)

    @property
    def speakers(self) -> frozenset[int]:
        """Ids of the voices of CSM's checkpoint."""
        return frozenset(speaker.id for speaker in self._csm_model.speakers)

    @property
    def speaker_names(self) -> dict[int, str]:
        """Names of those voices by their ids, in the checkpoint's order."""
        return {speaker.id: speaker.name for speaker in self._csm_model.speakers}

    @property
    def codebooks(self) -> int:
        """Codebooks of CSM's frames; 0: unknown."""
        return self._csm_model.codebooks

    @property
    def max_positions(self) -> int:
        """Positions that CSM's prompt and answer may fill together; 0: unknown."""
        return self._csm_model.max_positions

    @property
    def codec(self) -> str:
        """Name of Mimi's checkpoint; empty: unknown."""
        mimi = self._services["mimi"].model
        return mimi.model.name if mimi is not None else ""

    @property
    def reference_clips(self) -> frozenset[str]:
        """Reference clips of CSM's checkpoint, each available in the voice of every speaker."""
        return frozenset(self._csm_model.reference_clips)

    @property
    def checkpoint_speech(self) -> CheckpointSpeech:
        """What CSM's checkpoint can speak."""
        csm = self._csm_model
        return CheckpointSpeech(csm.model.name or "csm", tuple(csm.scripts), tuple(csm.languages))

    def voice_problem(self) -> tuple[str, str] | None:
        """Returns the service that keeps CSM from speaking, and the reason; None: CSM speaks."""
        for name in ("csm", "mimi"):
            service = self._services[name]
            if service.state != "serving":
                return name, STATE_WORDS[service.state]
            if service.model is None:
                return name, "has not reported its model yet"
            if fault := self._checkpoint_fault(name):
                return name, fault
        return None

    def _checkpoint_fault(self, name: str) -> str:
        """Returns what is wrong with the checkpoint of "csm" or "mimi"; empty: nothing, or unknown."""
        model = self._services[name].model
        if model is not None and not model.model.trained:
            return "has no trained checkpoint"
        csm, mimi = self._services["csm"].model, self._services["mimi"].model
        if name != "mimi" or csm is None or mimi is None:
            return ""
        if csm.codebooks <= mimi.codebooks and csm.codebook_size == mimi.codebook_size:
            return ""
        return (
            f"decodes {mimi.codebooks} codebooks of {mimi.codebook_size} codes, but csm makes {csm.codebooks} of "
            f"{csm.codebook_size}: CSM_CHECKPOINT and MIMI_CHECKPOINT must belong together"
        )

    def degraded(self) -> list[tuple[str, str]]:
        """Returns the services that do not work fully, each with the problem and its consequence."""
        problems = {
            name: f"{STATE_WORDS[service.state]}; {CONSEQUENCES[name]}"
            for name, service in self._services.items()
            if service.state != "serving"
        }
        for name in ("csm", "mimi"):
            if name not in problems and (fault := self._checkpoint_fault(name)):
                problems[name] = f"{fault}; {CONSEQUENCES[name]}"
        brain = self._services["brain"].model
        if "brain" not in problems and brain is not None and brain.degraded:
            problems["brain"] = brain.degraded
        own = [(part, problem) for part, problem in self._own.items() if problem]
        return [*((name, problems[name]) for name in GRPC_NAMES if name in problems), *own]

    def set_own_problem(self, part: str, problem: str) -> None:
        """Sets the problem of a part of the gateway itself; empty: it works."""
        metrics.DEGRADED.labels(part).set(bool(problem))
        self._own[part] = problem

    def report(self) -> dict[str, Any]:
        """Returns the content of /readyz."""
        problem = self.voice_problem()
        return {
            "ready": self.ready,
            "draining": self.draining,
            "services": {name: self._describe(name) for name in GRPC_NAMES},
            "voice": {
                "name": "fallback" if problem else "csm",
                "reason": " ".join(problem or ()),
            },
            "degraded": [{"service": name, "message": message} for name, message in self.degraded()],
        }

    def _describe(self, name: str) -> dict[str, Any]:
        service = self._services[name]
        described = {"state": service.state, "address": self._mesh.addresses[name], "needed": name in NEEDED}
        if service.model is not None:
            model = service.model.model
            described |= {
                "model": model.name or model.backend,
                "backend": model.backend,
                "trained": model.trained,
                "device": model.device,
            }
        if aligner := getattr(service.model, "aligner", ""):
            described["aligner"] = aligner
        return described

    async def _follow(self, name: str) -> None:
        """Checks one service forever."""
        loop = asyncio.get_running_loop()
        while True:
            service = self._services[name]
            state = await self._check(name)
            if state != service.state:
                log.info("service", name=name, state=state, address=self._mesh.addresses[name])
                service.state, service.model, service.asked_at = state, None, float("-inf")
            if state == "serving" and name in _ASK and loop.time() - service.asked_at > self._settings.model_refresh_s:
                # Only while serving: the last reported model stays valid until the service reports another.
                with suppress(OviyaError):
                    service.model = await self._ask_model(name)
                    service.asked_at = loop.time()
            self._publish()
            await asyncio.sleep(self._settings.health_poll_s)

    async def _check(self, name: str) -> State:
        channel = self._mesh.channels[name]
        if channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return "serving"
        try:  # not ready: either not serving yet or missing
            health: Any = health_pb2_grpc.HealthStub(self._probes[name])
            request = health_pb2.HealthCheckRequest(service=GRPC_NAMES[name])
            answer = await health.Check(request, timeout=self._settings.call_timeout_s)
        except aio.AioRpcError as error:
            return "starting" if error.code() is grpc.StatusCode.NOT_FOUND else "missing"
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            return "starting"
        # It serves, and the channel will be ready after its reconnect delay: an old connection is being renewed.
        return "serving" if self.is_serving(name) else "starting"

    async def _ask_model(self, name: str) -> Any:
        stub: Any = getattr(self._mesh, name)
        with typed_errors(name):
            return await stub.GetModel(_ASK[name], timeout=self._settings.call_timeout_s)

    def _publish(self) -> None:
        degraded = dict(self.degraded())
        for name in GRPC_NAMES:
            metrics.DEGRADED.labels(name).set(name in degraded)


_ASK = {
    "brain": brain_pb2.BrainServiceGetModelRequest(),
    "stt": stt_pb2.SttServiceGetModelRequest(),
    "csm": csm_pb2.CsmServiceGetModelRequest(),
    "mimi": mimi_pb2.MimiServiceGetModelRequest(),
}
"""The requests of the services that report their models."""
