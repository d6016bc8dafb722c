"""Conversations with the listener."""

from __future__ import annotations

from services.brain.backend import Exchange, Sentence, Turn
from services.brain.listener import Listener

MAX_HISTORY_TURNS = 400


class Talk:
    """A session, as the gateway keeps it."""

    def __init__(self, listener: Listener, session_id: str = "") -> None:
        self._listener = listener
        self._session_id = session_id
        self.history: list[Turn] = []

    def say(self, text: str, user_emotion: str = "") -> list[Sentence]:
        exchange = Exchange(text, tuple(self.history[-MAX_HISTORY_TURNS:]), user_emotion, self._session_id)
        reply = self._listener.answer(exchange)
        self.history += [Turn("user", text), Turn("assistant", text_of(reply))]
        return reply


def text_of(reply: list[Sentence]) -> str:
    return " ".join(sentence.text for sentence in reply)


def answers(listener: Listener, text: str, sessions: int = 12) -> list[list[Sentence]]:
    """Replies to a first utterance in several sessions: all of them must fit, not just one."""
    return [Talk(listener, f"session {number}").say(text) for number in range(sessions)]
