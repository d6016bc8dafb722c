"""The parts of `oviya chat`: keyboard, display, and the session that joins them with the sound device."""
