"""Metrics of the gateway, in addition to those of every service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SESSIONS = Gauge("oviya_gateway_sessions_open", "Sessions that are open")
SESSIONS_ENDED = Counter("oviya_gateway_sessions_total", "Sessions that ended, by how", ["outcome"])
TURNS = Counter(
    "oviya_gateway_turns_total",
    "Turns by how they came (speech, text) and how they went (answered, interrupted, dropped, empty, failed)",
    ["input", "outcome"],
)
STAGE_SECONDS = Histogram(
    "oviya_gateway_turn_stage_seconds",
    "Time from the end of the user's speech to a stage of the turn",
    ["stage"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30),
)
VOICE_SENTENCES = Counter("oviya_gateway_voice_sentences_total", "Sentences spoken, by voice", ["voice"])
USER_SOUNDS = Counter(
    "oviya_gateway_user_sounds_total",
    "Users' turns whose sound was encoded for the voice's context, by how it went (encoded, too_long, failed, dropped)",
    ["outcome"],
)
VOICE_FAILURES = Counter(
    "oviya_gateway_voice_failures_total", "Sentences that CSM and Mimi failed to speak, by the type of error", ["type"]
)
DEGRADED_TOLD = Counter("oviya_gateway_degraded_events_total", "Degraded events sent to callers", ["service"])
DEGRADED = Gauge("oviya_gateway_degraded", "1 while a service does not work as it should", ["service"])
SUMMARIES = Counter("oviya_gateway_summaries_total", "Summaries of older turns, by how they went", ["outcome"])
FORGOTTEN_TURNS = Counter("oviya_gateway_forgotten_turns_total", "Old turns that were dropped without a summary")
STORE_FAILURES = Counter("oviya_gateway_store_failures_total", "Failed operations of the store of sessions", ["doing"])
STORE_LOST = Counter("oviya_gateway_store_lost_total", "Turns and summaries that never reached the store")
STORE_DROPPED = Counter(
    "oviya_gateway_store_dropped_total",
    "What the store dropped: turns and sessions beyond the limits, and expired sessions",
    ["what"],
)
STORE_STALE = Counter(
    "oviya_gateway_store_stale_total",
    "Turns that were not kept because their session was deleted, or its name belongs to another caller",
    ["reason"],
)
REPLY_GAPS = Counter("oviya_gateway_reply_gaps_total", "Gaps inside a reply because its next sound was sent late")
REPLY_GAP_SECONDS = Counter("oviya_gateway_reply_gap_seconds_total", "Length of those gaps in seconds")
LOST_AUDIO = Counter("oviya_gateway_lost_audio_seconds_total", "Users' sound that never reached speech-to-text")
EXCESS_SOUND = Counter(
    "oviya_gateway_excess_sound_seconds_total", "Browsers' sound that was dropped because it came faster than real time"
)
PACED_SOUND = Counter(
    "oviya_gateway_paced_sound_seconds_total", "Time for which callers of Converse were throttled for sending too fast"
)
EMOTION_FAILED = Counter("oviya_gateway_emotion_failures_total", "Turns whose emotion could not be detected", ["type"])
EMOTION_LATE = Counter("oviya_gateway_emotion_late_total", "Turns that the brain answered without the user's emotion")
OTHER_SCRIPTS = Counter(
    "oviya_gateway_other_script_sentences_total",
    "Sentences that the fallback voice read because CSM's checkpoint does not speak their script, by script",
    ["script"],
)
OTHER_LANGUAGES = Counter(
    "oviya_gateway_other_language_sentences_total",
    "Sentences that the fallback voice read because CSM's checkpoint does not speak their language, by language",
    ["language"],
)
PREEMPTIVE_REPLIES = Counter(
    "oviya_gateway_early_replies_total",
    "Replies asked of the brain before the turn was over, by what became of them (used, thrown_away)",
    ["outcome"],
)
INTERRUPTIONS = Counter("oviya_gateway_interruptions_total", "Replies that were stopped, by the reason", ["reason"])
PAUSES = Counter(
    "oviya_gateway_reply_pauses_total", "Replies that were paused because somebody spoke, by what followed", ["outcome"]
)
DROPPED_TURNS = Counter(
    "oviya_gateway_dropped_turns_total", "Speech over replies that was no turn, by the reason", ["reason"]
)
FILLERS = Counter("oviya_gateway_fillers_total", "Sentences that bridged a long wait for the brain")
SILENCE_PROMPTS = Counter("oviya_gateway_silence_prompts_total", "Questions to users who said nothing for long")
REFUSED_REQUESTS = Counter(
    "oviya_gateway_refused_requests_total", "Requests within a session that failed, by the kind of request", ["request"]
)
ECHO_CANCELLATION_SECONDS = Counter(
    "oviya_gateway_echo_cancellation_seconds_total", "Seconds of callers' sound from which echo was removed"
)
CLIPS = Counter(
    "oviya_gateway_clips_total",
    "Clips of voices by outcome: accepted, or why they were refused (length, quiet, music, several_speakers ...)",
    ["outcome"],
)
VOICES = Gauge(
    "oviya_gateway_voices", "Voices that can be spoken with: kept ones, and uploads of the last hour", ["kind"]
)
