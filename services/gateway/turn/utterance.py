"""What the user said or typed in one turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from oviya.v1 import common_pb2


@dataclass(frozen=True)
class Utterance:
    """One turn of the user.  Times are the event loop's, in seconds; None: not applicable.

    Args:
        turn: number of the turn.
        text: the words; empty where the speech had none.
        typed: whether it was typed.
        ended_at: when the speech ended or the text came; the turn's latencies count from here.
        sound: the speech, from which the emotion is detected; None for typed text.
        decided_at: when the sound came by which the end of the turn was decided.
        final_at: when the final transcript came.
        language: of the words (BCP 47); empty: unknown.
    """

    turn: int
    text: str
    typed: bool
    ended_at: float
    sound: common_pb2.Audio | None = field(default=None, repr=False)
    decided_at: float | None = None
    final_at: float | None = None
    language: str = ""

    @property
    def speech_s(self) -> float:
        """Length of the speech in seconds."""
        if self.sound is None:
            return 0.0
        sample_bytes = 4 if self.sound.format.encoding == common_pb2.AUDIO_ENCODING_PCM_F32LE else 2
        return len(self.sound.pcm) / sample_bytes / self.sound.format.sample_rate_hz
