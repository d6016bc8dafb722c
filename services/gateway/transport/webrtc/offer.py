"""Checks the browser's SDP offer before it is used."""

from __future__ import annotations

import hashlib
import re

from aiortc import RTCSessionDescription, sdp

from oviya.errors import InvalidInput

MAX_CANDIDATES = 64
"""Candidates in an offer, each an address that the gateway probes."""
_UFRAG, _PASSWORD = re.compile(r"[A-Za-z0-9+/]{4,256}"), re.compile(r"[A-Za-z0-9+/]{22,256}")  # RFC 8839, 5.4
_HINT = "create the offer with RTCPeerConnection: one audio track and one data channel"


def read_offer(offer: str, max_bytes: int) -> RTCSessionDescription:
    """Checks an offer and prepares it for aiortc.

    It must have one audio section that receives, with Opus, and at most one data section.

    Candidates with an mDNS name ("...local", by which browsers hide their address) are removed: the browser's own
    checks reach the gateway and show the address, while resolving the name needs multicast, which containers lack, and
    would delay the answer.  For the same reason the offer's candidates are never treated as complete.

    Raises:
        InvalidInput: names `sdp` and what is wrong with it.
    """
    try:
        size = len(offer.encode())
    except UnicodeEncodeError as error:  # JSON can hold lone surrogates
        raise InvalidInput("sdp", offer, "must be a valid SDP offer", hint=_HINT) from error
    if size > max_bytes:
        raise InvalidInput("sdp", f"{size} bytes", f"at most {max_bytes} bytes")
    try:
        description = sdp.SessionDescription.parse(offer)
    except Exception as error:  # the parser raises many types
        raise InvalidInput("sdp", offer, "must be a valid SDP offer", hint=_HINT) from error
    kinds = sorted(media.kind for media in description.media)
    if kinds not in (["audio"], ["application", "audio"]):
        raise InvalidInput(
            "sdp", ", ".join(kinds) or offer, "must have one audio and at most one data section", hint=_HINT
        )
    for media in description.media:
        _check_media(media)
    kept = [line for line in offer.splitlines() if not _left_out(line)]
    candidates = sum(line.startswith("a=candidate:") for line in kept)
    if candidates > MAX_CANDIDATES:
        raise InvalidInput("sdp", f"{candidates} candidates", f"at most {MAX_CANDIDATES} candidates")
    return RTCSessionDescription(sdp="\r\n".join(kept) + "\r\n", type="offer")


def identify_offer(offer: RTCSessionDescription) -> bytes:
    """Returns a hash that stays the same when an offer is sent again, even with other parts changed.

    It covers the ICE credentials, which an ICE agent creates for each connection (RFC 8445, section 5.3), and the
    browser's certificate.
    """
    parts: list[str] = []
    for media in sdp.SessionDescription.parse(offer.sdp).media:
        assert media.ice  # read_offer has checked it
        assert media.dtls
        parts += [str(media.ice.usernameFragment), str(media.ice.password)]
        parts += sorted(f"{one.algorithm} {one.value}".lower() for one in media.dtls.fingerprints)
    return hashlib.sha256("\n".join(parts).encode()).digest()


def _check_media(media: sdp.MediaDescription) -> None:
    if media.ice is None or not (media.ice.usernameFragment and media.ice.password):
        raise InvalidInput("sdp", media.kind, "every section must have ICE credentials", hint=_HINT)
    # Every STUN check that the gateway sends to the addresses of the offer contains them.
    if not (_UFRAG.fullmatch(media.ice.usernameFragment) and _PASSWORD.fullmatch(media.ice.password)):
        raise InvalidInput(
            "sdp", media.kind, "ICE credentials must be 4 or 22 to 256 letters, digits, + or /", hint=_HINT
        )
    if media.dtls is None or not media.dtls.fingerprints:
        raise InvalidInput("sdp", media.kind, "every section must have a DTLS fingerprint", hint=_HINT)
    if media.kind != "audio":
        return
    if not media.rtcp_mux:
        raise InvalidInput("sdp", media.kind, "the audio section must have rtcp-mux")
    if media.direction not in ("sendrecv", "recvonly"):
        raise InvalidInput("sdp", media.direction, "the audio section must be sendrecv or recvonly")
    codecs = [codec.mimeType for codec in media.rtp.codecs]
    if "audio/opus" not in (codec.lower() for codec in codecs):
        raise InvalidInput("sdp", ", ".join(codecs), "the audio section must offer Opus")


def _left_out(line: str) -> bool:
    if line.startswith("a=candidate:"):
        fields = line.split()
        return len(fields) > 4 and fields[4].endswith(".local")  # RFC 8839: the fifth field is the address
    return line.startswith("a=end-of-candidates")
