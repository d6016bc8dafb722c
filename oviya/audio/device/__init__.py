"""Microphone and loudspeaker: a sound card, or WAV files in its place."""

from oviya.audio.device.choose import open_device
from oviya.audio.device.contract import Fill, NoSoundDevice, SoundDevice

__all__ = ["Fill", "NoSoundDevice", "SoundDevice", "open_device"]
