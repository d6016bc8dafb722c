"""The figures of a conversation and their goals."""

from __future__ import annotations

from benchmarks.stt_goals import Goal

GOALS = {
    "obeyed": Goal("interruptions", "interruptions obeyed", "%", 95, 98, more_is_better=True),
    "obeyed over echo": Goal(
        "interruptions", "  while the reply comes back as an echo", "%", 95, 98, more_is_better=True
    ),
    "silence p50": Goal("interruptions", "first word to silence at the caller, p50", "ms", 350, 250),
    "silence p95": Goal("interruptions", "  p95", "ms", 600, 400),
    "late pieces": Goal("interruptions", "sound of the old reply after `interrupted`, pieces", "", 0, 0),
    "paused pieces": Goal("interruptions", "  while it was paused", "", 0, 0),
    "false stops": Goal("false-stops", "false stops", "%", 8, 3),
    "false stops backchannel": Goal("false-stops", "  back-channels and laughter", "%", 8, 3),
    "false stops noise": Goal("false-stops", "  noises", "%", 8, 3),
    "false stops echo": Goal("false-stops", "  echoes", "%", 8, 3),
    "own words": Goal("false-stops", "own words answered, turns", "", 0, 0),
    "resumed p50": Goal("false-stops", "end of the sound to resumed sound, p50", "ms", 600, 600),
    "resumed p95": Goal("false-stops", "  p95", "ms", 600, 600),
    "misplaced": Goal("false-stops", "resumed after the pause, or over 1 s before it", "", 0, 0),
    "false stops uncancelled": Goal("false-stops", "false stops on echoes that nobody cancels", "%", 8, 3),
    "own words uncancelled": Goal("false-stops", "  own words answered, turns", "", 0, 0),
    "first audio p50": Goal("latency", "end of speech to first audible reply, p50", "ms", 700, 500),
    "first audio p95": Goal("latency", "  p95", "ms", 1100, 800),
    "underruns": Goal("underruns", "underruns over gRPC", "", 0, 0),
    "underruns lossy": Goal("underruns", "underruns over WebRTC, 5 % loss, 80 ms jitter", "", 10, 3),
    "idle grpc": Goal("cpu", "gateway CPU of an idle session, gRPC", "%", 1, 0.5),
    "speaking grpc": Goal("cpu", "  of a speaking one", "%", 3, 2),
    "idle webrtc": Goal("cpu", "gateway CPU of an idle session, WebRTC", "%", 1, 0.5),
    "speaking webrtc": Goal("cpu", "  of a speaking one", "%", 3, 2),
    "voice": Goal("voice", "reply follows the voice of a clip", "%", 90, 97, more_is_better=True),
}
