// A browser's part without a browser: holds a conversation over WebRTC with werift alone.
// usage: node webrtc_client.cjs HTTP_URL STEPS_JSON
// A step is {"text": "..."}, {"opus": ["<base64 packet of 20 ms>", ...]}, {"until": "event"} or {"wait": seconds}.
// Prints one JSON document: the events, each with the number of sound packets that had come before it, and packet counts.
const fs = require("node:fs");
const { MediaStreamTrack, RTCPeerConnection, RTCRtpCodecParameters, RtpHeader, RtpPacket } = require("werift");

const [url, stepsFile] = process.argv.slice(2);
const PACKET_MS = 20;
const PACKET_SAMPLES = 960;
const SILENT_BYTES = 3; // Opus packets of digital silence and of DTX
const PATIENCE_MS = 60_000;
const SILENCE = Buffer.from([0xf8, 0xff, 0xfe]);
const LOCAL = process.env.LOOPBACK ?? "127.0.0.1";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main() {
  const seen = { events: [], packets: 0, soundPackets: 0 };
  const connection = new RTCPeerConnection({
    iceServers: [],
    iceUseIpv6: false,
    iceAdditionalHostAddresses: [LOCAL],
    bundlePolicy: "max-bundle",
    codecs: { audio: [new RTCRtpCodecParameters({ mimeType: "audio/opus", clockRate: 48000, channels: 2 })] },
  });
  connection.onTrack.subscribe((track) => {
    track.onReceiveRtp.subscribe((packet) => {
      seen.packets += 1;
      if (packet.payload.length > SILENT_BYTES) seen.soundPackets += 1;
    });
  });

  const microphone = new MediaStreamTrack({ kind: "audio" });
  connection.addTransceiver(microphone, { direction: "sendrecv" });
  const channel = connection.createDataChannel("events");
  let arrived = () => {};
  channel.onMessage.subscribe((message) => {
    seen.events.push({ ...JSON.parse(message.toString()), soundPackets: seen.soundPackets });
    arrived();
  });

  await connection.setLocalDescription(await connection.createOffer());
  const response = await fetch(`${url}/offer`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ type: "offer", sdp: connection.localDescription.sdp }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  await connection.setRemoteDescription({ type: "answer", sdp: (await response.json()).sdp });

  const spoken = [];
  let sequenceNumber = 0;
  let due = Date.now();
  const pace = setInterval(() => {
    for (; due <= Date.now(); due += PACKET_MS) {
      const header = new RtpHeader({
        sequenceNumber: sequenceNumber & 0xffff,
        timestamp: (sequenceNumber * PACKET_SAMPLES) >>> 0,
        payloadType: 96,
        marker: false,
      });
      sequenceNumber += 1;
      if (connection.connectionState === "connected") {
        microphone.writeRtp(new RtpPacket(header, spoken.shift() ?? SILENCE));
      }
    }
  }, PACKET_MS / 2);

  let read = 0;
  async function until(name) {
    const deadline = Date.now() + PATIENCE_MS;
    while (Date.now() < deadline) {
      while (read < seen.events.length) if (name in seen.events[read++]) return;
      await Promise.race([new Promise((resolve) => (arrived = resolve)), sleep(1000)]);
    }
    throw new Error(`${name} did not come: ${JSON.stringify(seen.events.slice(-5))}`);
  }

  try {
    await until("sessionStarted");
    for (const step of JSON.parse(fs.readFileSync(stepsFile, "utf8"))) {
      if (step.opus) spoken.push(...step.opus.map((packet) => Buffer.from(packet, "base64")));
      else if (step.until) await until(step.until);
      else if (step.wait) await sleep(step.wait * 1000);
      else channel.send(JSON.stringify(step));
      if (step.note) seen[step.note] = seen.soundPackets;
    }
    console.log(JSON.stringify(seen));
  } finally {
    clearInterval(pace);
    await connection.close();
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
