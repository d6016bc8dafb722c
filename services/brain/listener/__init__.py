"""The reflective listener: answers by mirroring what was said, from patterns that are data.

In the manner of ELIZA (Weizenbaum 1966): a keyword pattern takes an utterance apart, a template puts an answer
together, and pronouns are turned round.  Unlike ELIZA it answers feelings first, recalls what the session told it, and
never says a sentence twice.  `Listener` is the entry.
"""

from services.brain.listener.listener import Listener
from services.brain.listener.loader import ScriptError

__all__ = ["Listener", "ScriptError"]
