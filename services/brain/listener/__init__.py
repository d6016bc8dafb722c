"""The reflective listener: it mirrors what was said, by patterns that are data.

It works like ELIZA (Weizenbaum 1966): a pattern decomposes an utterance, a template reassembles an answer, and pronouns
are reflected.  Unlike ELIZA, it answers feelings first, recalls what the user told it in the session, and never repeats
a sentence.  `Listener` is the entry point.
"""

from services.brain.listener.listener import Listener
from services.brain.listener.loader import ScriptError

__all__ = ["Listener", "ScriptError"]
