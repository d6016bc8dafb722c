"""CSM: text and context in, RVQ frames out.  `engine.py` is the way in; `server.py` puts it on the wire."""
