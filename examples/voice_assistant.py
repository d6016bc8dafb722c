"""A voice assistant: talk to it, interrupt it, Ctrl-C hangs up.

    pip install 'oviya[chat]'
    python examples/voice_assistant.py                            # microphone and loudspeaker
    python examples/voice_assistant.py file:question.wav,reply.wav   # or files, at the pace of speech

`oviya chat` is the same with everything around it.
"""

import asyncio
import os
import sys

from oviya.audio.device import open_device
from oviya.client import FinalTranscript, Interrupted, Loudspeaker, Oviya, Sentence


async def main(device: str = "") -> None:
    sound = open_device(device)
    loudspeaker = Loudspeaker(sound.output_rate_hz)
    async with (
        Oviya(os.environ.get("OVIYA_ADDRESS", "localhost:50050")) as oviya,
        oviya.converse(input_rate_hz=sound.input_rate_hz, output_rate_hz=sound.output_rate_hz) as talk,
    ):

        async def listen() -> None:
            async for block in sound:
                await talk.send_audio(block)
                if report := loudspeaker.report():  # so that Oviya knows what you have heard when you interrupt it
                    await talk.played(*report)

        with sound.running(loudspeaker.read):
            loudspeaker.latency_s = sound.latency_s
            listening = asyncio.create_task(listen())
            async for event in talk:
                loudspeaker.handle(event)
                match event:
                    case FinalTranscript():
                        print("you:  ", event.text, flush=True)
                    case Sentence():
                        print(f"oviya: [{event.plan.emotion}] {event.text}", flush=True)
                    case Interrupted():
                        print("       (interrupted)", flush=True)
            await listening


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        print("bye")
