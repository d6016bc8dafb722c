"""Settings of the gateway."""

from __future__ import annotations

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from oviya.mesh.settings import SecretUrl, ServiceSettings, is_loopback
from services.gateway.client_address import ClientAddresses
from services.gateway.ice_policy import IcePolicy
from services.gateway.ice_servers import IceServers


class GatewaySettings(ServiceSettings):
    """Addresses of the other services, timing of a turn, and limits on sessions."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    port: int = Field(default=50050, ge=0, le=65535)
    """gRPC port; 0 uses a free one and logs it."""

    # --- The other services -------------------------------------------------------------------------------------------
    stt_address: str = "localhost:50051"
    """host:port of speech-to-text."""
    brain_address: str = "localhost:50052"
    """host:port of the brain."""
    emotion_address: str = "localhost:50053"
    """host:port of the emotion mapper."""
    csm_address: str = "localhost:50054"
    """host:port of the RVQ token generator."""
    mimi_address: str = "localhost:50055"
    """host:port of the RVQ decoder."""
    health_poll_s: float = Field(default=0.25, gt=0, le=60)
    """Interval in seconds between checks of each service's health."""
    model_refresh_s: float = Field(default=30.0, gt=0, le=3600)
    """Age in seconds after which a service is asked again about its model."""

    # --- Timeouts of the other services -------------------------------------------------------------------------------
    call_timeout_s: float = Field(default=2.0, gt=0, le=60)
    """Timeout in seconds of a unary call (Detect, GetModel, health)."""
    emotion_map_s: float = Field(default=0.5, gt=0, le=10)
    """Longest wait in seconds for a sentence's prosody plan; after that it is spoken neutrally."""
    stt_stall_s: float = Field(default=10.0, gt=0, le=120)
    """Longest time in seconds from the end of a turn's sound to its final transcript."""
    brain_first_s: float = Field(default=15.0, gt=0, le=300)
    """Longest wait in seconds for the first sentence of a reply."""
    brain_stall_s: float = Field(default=15.0, gt=0, le=300)
    """Longest wait in seconds for each further sentence of a reply."""
    brain_summary_s: float = Field(default=90.0, gt=0, le=600)
    """Longest time in seconds for a summary of older turns, which runs in the background."""
    brain_total_s: float = Field(default=300.0, gt=0, le=3600)
    """Longest time in seconds for a whole reply."""
    max_reply_sentences: int = Field(default=100, ge=1, le=1000)
    """Sentences of a reply that are spoken; after that the reply is stopped and a degraded event is sent."""
    csm_first_s: float = Field(default=1.5, gt=0, le=120)
    """Longest wait in seconds for a sentence's first sound from CSM and Mimi, including the wait for a free slot; after
    that the fallback voice speaks the sentence."""
    csm_stall_s: float = Field(default=2.0, gt=0, le=120)
    """Longest wait in seconds for each further piece of that sound."""
    csm_alone_s: float = Field(default=15.0, gt=0, le=120)
    """Replaces csm_first_s and csm_stall_s where the caller asked for CSM only, so that no other voice can speak."""
    csm_total_s: float = Field(default=120.0, gt=0, le=600)
    """Longest time in seconds for one sentence from CSM and Mimi, at the pace at which it is sent."""
    emotion_budget_s: float = Field(default=0.1, ge=0, le=2)
    """Time in seconds that the brain waits for the user's emotion.  A later result is only shown."""
    early_reply: bool = True
    """Whether the brain is asked at the likely end of a turn, before the silence that makes it certain.  That reply is
    discarded if the user goes on."""
    stt_retry_s: float = Field(default=0.5, gt=0, le=60)
    """Delay in seconds before a failed speech-to-text stream is opened again."""

    # --- The voice ----------------------------------------------------------------------------------------------------
    lead_s: float = Field(default=1.5, ge=0, le=60)
    """How far ahead of real time, in seconds, reply audio is sent unless the caller asks for another lead."""
    max_lead_s: float = Field(default=60.0, gt=0, le=3600)
    """Longest lead in seconds that a caller may ask for.  0, as fast as possible, is always allowed."""
    voice_context_turns: int = Field(default=5, ge=0, le=20)
    """Newest turns that CSM gets as context, as text and sound, counting both sides; 0: none.  Up to twice as many are
    kept, so that old ones are dropped several at a time."""
    voice_gain: float = Field(default=3.5, gt=0, le=10)
    """Gain after normalisation, before the limiter; 3.5 is the gain of the original design."""
    max_sentence_chars: int = Field(default=240, ge=40, le=2000)
    """Longest piece of text in characters that is spoken at once.  Longer sentences are split at clauses, then between
    words."""
    echo_cancellation: bool = True
    """Whether the reply's own sound is removed from the caller's, unless the caller says that its sound holds no echo
    (ConverseConfig.echo_cancellation).  While a reply is played, this takes 1 % of a core per session."""
    fillers: list[str] = Field(default_factory=lambda: ["Let me think.", "Hmm, one moment.", "Let me see."])
    """Sentences that bridge a long wait for the brain's answer, used in turn.  []: none."""
    filler_after_s: float = Field(default=1.5, gt=0, le=60)
    """Wait in seconds after the user's turn at which one is spoken."""
    silence_prompt: str = Field(default="Are you still there?", max_length=500)
    """Asked once when the user says nothing for long after a spoken conversation.  Empty: nothing is asked."""
    silence_prompt_s: float = Field(default=45.0, gt=0, le=3600)
    """Silence in seconds after which it is asked."""
    apology: str = Field(default="Sorry, I cannot think of an answer right now.", max_length=500)
    """Spoken when the brain fails, so that the user is not left in silence.  Empty: nothing is spoken."""

    # --- Limits on sessions -------------------------------------------------------------------------------------------
    max_sessions: int = Field(default=64, ge=1, le=10_000)
    """Sessions at once, over gRPC and WebRTC together; further ones are refused as busy.  Each browser takes a UDP
    port."""
    max_sessions_per_client: int | None = Field(default=None, ge=1, le=10_000)
    """Sessions, and Speak calls, of one client address at once, counted over gRPC and over WebRTC separately.  Unset:
    half of max_sessions and of max_speaks, and no limit for this machine's own addresses, from which a reverse proxy or
    an application brings many users."""
    trusted_proxies: list[str] = Field(default_factory=list, examples=[["10.0.0.0/8"]])
    """Addresses or networks of reverse proxies, e.g. ["172.16.0.0/12"], whose X-Forwarded-For header names the client.
    Empty: the header is ignored, and all users behind a proxy count as one client."""
    max_speaks: int = Field(default=32, ge=1, le=10_000)
    """Speak calls at once; further ones are refused as busy."""
    session_start_s: float = Field(default=10.0, gt=0, le=300)
    """Longest wait in seconds for a session's configuration."""
    session_idle_s: float = Field(default=300.0, gt=0, le=86_400)
    """Time in seconds without speech, typed text or a running turn after which a session ends.  A silent microphone
    does not count as activity."""
    session_max_s: float = Field(default=3600.0, gt=0, le=86_400)
    """Longest session in seconds.  A running turn is finished first."""
    event_stall_s: float = Field(default=30.0, gt=0, le=600)
    """Time in seconds for which a caller may leave events unread before its session ends."""
    max_audio_message_bytes: int = Field(default=1 << 20, ge=1024, le=4 << 20)
    """Largest PCM payload of one message, in bytes."""
    max_audio_speed: float = Field(default=4.0, ge=1, le=1000)
    """Seconds of sound that Converse accepts per second, after an initial 5 s of it at once.  A conversation is live,
    so a higher rate helps no caller and takes speech-to-text from others.  Send recordings to speech-to-text's
    Transcribe."""
    max_text_chars: int = Field(default=8192, ge=1, le=8192)
    """Longest typed turn or text to speak, in characters."""
    max_waiting_turns: int = Field(default=4, ge=1, le=100)
    """Turns that may wait while a reply is spoken; further ones fail as busy."""
    max_waiting_audio_s: float = Field(default=30.0, gt=0, le=600)
    """Seconds of sound that are buffered while speech-to-text is slow or unavailable.  Older sound is dropped and
    reported."""
    history_turns: int = Field(default=20, ge=0, le=200)
    """Turns of the session that the brain gets word for word, counting both sides: 20 are 10 of the user and 10
    replies. Older ones are summarized.  0: nothing is remembered."""
    session_store: SecretUrl = SecretUrl("")
    """Where sessions are kept so that a caller with a session's token can continue it: the path of a SQLite file, or
    redis://host:6379/0 (Redis 6.2 or later) for several gateways.  Empty: sessions are not kept.  The store holds what
    people said in plain text."""
    session_keep_days: float = Field(default=30.0, ge=0, le=3650)
    """Days after its last turn at which a kept session is deleted, within the hour; 0: never."""
    session_keep_turns: int = Field(default=2000, ge=0, le=1_000_000)
    """Newest turns that are kept of a session, counting both sides: about six hours of talk.  Older ones are dropped
    and counted in a metric.  0: no limit."""
    max_kept_sessions: int = Field(default=10_000, ge=0, le=100_000_000)
    """Sessions that are kept.  Beyond that, the ones with the oldest last turn are dropped and counted in a metric. 0:
    no limit."""
    max_kept_mib: int = Field(default=1024, ge=0, le=1 << 20)
    """Size of the text of all kept sessions together, in MiB.  Beyond that, the ones with the oldest last turn are
    dropped and counted in a metric.  0: no limit."""

    # --- Voices of callers' own ---------------------------------------------------------------------------------------
    voice_store: str = Field(default="", examples=["/voices"])
    """Folder in which voices are kept that callers register by name, as RVQ frames and text.  Empty: voices are not
    kept; an uploaded clip can still be spoken with for an hour."""
    max_kept_voices: int = Field(default=1000, ge=1, le=1_000_000)
    """Voices that are kept; further ones are refused as busy.  Each takes up to 50 KB."""
    max_clip_bytes: int = Field(default=10 << 20, ge=1 << 16, le=64 << 20)
    """Largest sound file that POST /voices accepts, in bytes: 30 s of 48 kHz stereo WAV are 6 to 9 MB."""

    # --- HTTP and the page --------------------------------------------------------------------------------------------
    http_host: str = Field(default="127.0.0.1", min_length=1)
    """Address for HTTP; containers set 0.0.0.0.  An address that other machines can reach requires `http_token` or
    `allow_unauthenticated`."""
    http_port: int = Field(default=8000, ge=0, le=65535)
    """HTTP port: page, /offer, /healthz, /readyz, /metrics; 0 uses a free one and logs it."""
    http_token: SecretStr = SecretStr("")
    """Bearer token that /offer, /metrics and the details of /readyz require.  Empty: no token is required."""
    http_hosts: list[str] = Field(default_factory=list, examples=[["talk.example"]])
    """Host names by which browsers reach the gateway, e.g. ["talk.example"], as in their Host header.  IP addresses,
    localhost and this machine's own name are always accepted.  Add the public name if a reverse proxy passes it on.
    ["*"] disables the check, and with it the protection against DNS rebinding."""
    http_metrics: bool = True
    """Whether /metrics is served on the HTTP port; GATEWAY_METRICS_PORT serves it on a separate port."""
    http_max_connections: int = Field(default=512, ge=1, le=100_000)
    """HTTP connections at once; further ones get status 503."""
    http_max_connections_per_client: int = Field(default=128, ge=1, le=100_000)
    """HTTP connections at once from one address that is not a trusted proxy; a browser opens about 6."""
    http_header_s: float = Field(default=10.0, gt=0, le=300)
    """Longest time in seconds for a request's headers, from its first byte or the start of the connection."""
    http_body_s: float = Field(default=15.0, gt=0, le=300)
    """Longest time in seconds for a request's body."""
    http_request_s: float = Field(default=60.0, gt=0, le=3600)
    """Longest time in seconds from the end of a request's headers until the client has read the whole response."""
    http_keepalive_s: float = Field(default=75.0, gt=0, le=3600)
    """Time in seconds for which a connection may be idle between requests; longer than that of reverse proxies (60)."""
    http_origins: list[str] = Field(default_factory=list, examples=[["https://talk.example"]])
    """Other origins whose pages may use the gateway, e.g. https://talk.example; its own page always may."""
    webrtc_first_packet_s: float = Field(default=5.0, gt=0, le=300)
    """Longest time in seconds from the answer to an offer until the browser's first packet, a STUN check."""
    webrtc_connect_s: float = Field(default=8.0, gt=0, le=300)
    """Longest time in seconds from the answer to an offer until the browser is connected."""
    webrtc_silence_s: float = Field(default=8.0, ge=2, le=300)
    """Time in seconds without any packet after which a connected browser counts as gone.  Browsers send sound 50 times
    a second, and STUN checks every 2.5 to 6 s without a microphone."""
    max_connecting: int | None = Field(default=None, ge=1, le=10_000)
    """Browsers at once that are not connected yet.  Unset: three quarters of the sessions or UDP ports, whichever are
    fewer. A further one displaces the oldest from which no packet has come."""
    max_connecting_per_client: int = Field(default=8, ge=1, le=10_000)
    """The same for one client address.  With 8, and one address sending 20 offers a second, a browser there still has
    0.4 s to send its first packet."""
    max_sdp_bytes: int = Field(default=64 << 10, ge=1024, le=1 << 20)
    """Largest SDP offer in bytes."""
    turn_username: str = ""
    """User name for the TURN server."""
    turn_credential: SecretStr = SecretStr("")
    """Password for the TURN server.  The page gets it; if a token is set, only with the token."""
    ice_servers: list[str] = Field(default_factory=list, examples=[["stun:stun.example:3478"]])
    """At most one STUN and one TURN URL, e.g. stun:stun.example:3478.  Empty: none, for private installations."""
    udp_port_min: int = Field(default=0, ge=0, le=65535, examples=[50100])
    """First UDP port for media; 0: the system chooses.  A session takes one port on each address."""
    udp_port_max: int = Field(default=0, ge=0, le=65535, examples=[50119])
    """Last UDP port for media; 0: the system chooses."""
    ice_bind_addresses: list[str] = Field(default_factory=list, examples=[["10.0.0.5"]])
    """IP addresses that media is bound to, e.g. 10.0.0.5.  Empty: all of this machine's, including loopback."""
    announced_address: str = Field(default="", examples=["203.0.113.7"])
    """IP address at which browsers reach media if it is not this machine's own, or several separated by commas.  UDP
    ports must be published one to one.  Empty: this machine's addresses."""

    def open_hosts(self) -> list[str]:
        return [*super().open_hosts(), *([] if is_loopback(self.http_host) or self.http_token else ["http_host"])]

    @property
    def announced_addresses(self) -> list[str]:
        """The addresses in `announced_address`."""
        return split_addresses(self.announced_address)

    # Checked here, so that wrong media settings stop the gateway at start rather than fail the first browser.

    @field_validator("trusted_proxies")
    @classmethod
    def _check_trusted_proxies(cls, proxies: list[str]) -> list[str]:
        ClientAddresses(proxies)
        return proxies

    @field_validator("ice_servers")
    @classmethod
    def _check_ice_servers(cls, urls: list[str], info: ValidationInfo) -> list[str]:
        credential: SecretStr = info.data.get("turn_credential", SecretStr(""))
        IceServers(urls, info.data.get("turn_username", ""), credential.get_secret_value())
        return urls

    @field_validator("udp_port_max")
    @classmethod
    def _check_ports(cls, last: int, info: ValidationInfo) -> int:
        if "udp_port_min" in info.data:  # else it was refused
            IcePolicy(port_min=info.data["udp_port_min"], port_max=last)
        return last

    @field_validator("ice_bind_addresses")
    @classmethod
    def _check_bind_addresses(cls, addresses: list[str]) -> list[str]:
        IcePolicy(bind_addresses=addresses)
        return addresses

    @field_validator("announced_address")
    @classmethod
    def _check_announced_address(cls, addresses: str) -> str:
        IcePolicy(announced_addresses=split_addresses(addresses))
        return addresses


def split_addresses(addresses: str) -> list[str]:
    """Splits a comma-separated list."""
    return [address.strip() for address in addresses.split(",") if address.strip()]
