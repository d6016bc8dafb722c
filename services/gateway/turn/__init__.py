"""One turn: what was heard, when it is over, what is answered, and what was heard of the answer."""
