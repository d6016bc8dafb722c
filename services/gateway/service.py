"""The gateway's process: gRPC on one port, the page and WebRTC on another, and the conversation behind both."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import structlog
from grpc import aio

from oviya.mesh.deadline import Deadline
from oviya.mesh.service import Service
from oviya.v1 import common_pb2, conversation_pb2_grpc
from services.gateway.conversation.conversation import Conversation
from services.gateway.echo.webrtc_apm import ECHO_CANCELLATION, find_problem
from services.gateway.memory.make_store import make_store
from services.gateway.memory.session_repository import SessionRepository
from services.gateway.memory.store import StoreLimits
from services.gateway.memory.store_queue import CLOSE_S, STORE
from services.gateway.own_voice.own_voices import OwnVoices
from services.gateway.settings import GatewaySettings
from services.gateway.transport.grpc_servicer import ConversationServicer
from services.gateway.transport.http.app import GatewayApp, HttpServer
from services.gateway.transport.http.voices import VoiceRoutes
from services.gateway.transport.webrtc.peers import Peers
from services.gateway.upstream.clients import Mesh
from services.gateway.upstream.readiness import Readiness
from services.gateway.voice.csm import CsmVoice
from services.gateway.voice.fallback import FallbackVoice
from services.gateway.voice.segment import SpeechOptions
from services.gateway.voice.speech_output import SpeechOutput

log = structlog.get_logger()

STORE_SHARE = 0.8
"""Share of the time for closing that is used to write queued turns to the store."""


class GatewayService(Service[GatewaySettings]):
    """The service as the mesh's runtime sees it.

    It serves as soon as its own voice is warm, whatever the state of the others: clear errors and texts to speak do not
    need them, and the page that shows what is missing must stay available.  /readyz reports whether a conversation can
    be held.
    """

    name = "gateway"
    grpc_services = ("oviya.v1.ConversationService",)

    mesh: Mesh
    readiness: Readiness
    conversation: Conversation
    peers: Peers
    http: HttpServer
    repository: SessionRepository
    own_voices: OwnVoices
    voice_routes: VoiceRoutes

    def register(self, server: aio.Server) -> None:
        settings = self.settings
        self.mesh = Mesh(settings)
        self.readiness = Readiness(self.mesh, settings)
        self.own_voices = OwnVoices(self.mesh, self.readiness, settings)
        self._csm = CsmVoice(self.mesh, self.readiness, settings)
        self._fallback = FallbackVoice()
        limits = StoreLimits(
            keep_days=settings.session_keep_days,
            max_turns=settings.session_keep_turns,
            max_sessions=settings.max_kept_sessions,
            max_bytes=settings.max_kept_mib << 20,
        )
        store = make_store(settings.session_store.get_secret_value(), limits)
        self.repository = SessionRepository(store, partial(self.readiness.set_own_problem, STORE))
        self.conversation = Conversation(
            self.mesh, self.readiness, settings, self.repository, self.own_voices, self.new_output
        )
        servicer = ConversationServicer(self.conversation, self.repository, settings)
        conversation_pb2_grpc.add_ConversationServiceServicer_to_server(servicer, server)

    async def start(self) -> None:
        if self.settings.echo_cancellation and (problem := find_problem()):
            log.warning("echo cancellation is not available", reason=problem)
            self.readiness.set_own_problem(ECHO_CANCELLATION, problem)
        self.peers = Peers(self.conversation, self.settings)
        app = GatewayApp(self.peers, self.readiness, self.settings).app()
        self.voice_routes = VoiceRoutes(self.own_voices, self.readiness, self.settings)
        self.voice_routes.add_to(app)
        self.http = HttpServer(app, self.settings)
        try:
            await self._fallback.warm_up()
            await self.repository.start()
            self.readiness.start(self.loops)
            await self.http.start()
        except BaseException:  # started parts must not keep the process alive
            await self.loops.close()
            await self.repository.close()
            await self._release()
            raise

    def new_output(self, options: SpeechOptions, audio_format: common_pb2.AudioFormat) -> SpeechOutput:
        """Returns the speech output for one caller."""
        return SpeechOutput(
            options=options,
            audio_format=audio_format,
            mesh=self.mesh,
            readiness=self.readiness,
            csm=self._csm,
            fallback=self._fallback,
            settings=self.settings,
        )

    def report_loop(self, name: str, problem: str) -> None:
        self.readiness.set_own_problem(name, problem)

    async def drain(self, deadline: Deadline) -> None:
        """Refuses new sessions and waits until the open ones have finished their turns.

        At the deadline, browsers are cut off here, and gRPC calls by the server's stop.
        """
        self.conversation.drain()
        await asyncio.gather(self.peers.drain(deadline.left_s), self._wait_for_sessions(deadline))

    async def close(self, deadline: Deadline) -> None:
        # First, because unwritten turns would be lost.
        await self.repository.close(min(CLOSE_S, STORE_SHARE * deadline.left_s))
        await self._release()

    async def _wait_for_sessions(self, deadline: Deadline) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline.left_s):
                await self.conversation.sessions.wait_until_none()

    async def _release(self) -> None:
        await asyncio.gather(self.peers.close(), self.http.close())
        await self.readiness.close()
        await self.mesh.close()
        await self._fallback.close()
