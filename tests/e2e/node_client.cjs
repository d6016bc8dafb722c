// A client in another language: drives Speak and Converse with @grpc/grpc-js and the contracts alone.
// usage: node node_client.cjs ADDRESS PROTO_ROOT speak TEXT | converse PCM_FILE
// Prints one JSON document.
const fs = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, protoRoot, command, argument] = process.argv.slice(2);
const definition = loader.loadSync(path.join("oviya", "v1", "conversation.proto"), {
  includeDirs: [protoRoot],
  enums: String,
  longs: Number,
  defaults: true,
  oneofs: true,
});
const { ConversationService } = grpc.loadPackageDefinition(definition).oviya.v1;
const client = new ConversationService(address, grpc.credentials.createInsecure());

const RATE_HZ = 16000;
const CHUNK_MS = 20;
const CHUNK_BYTES = (RATE_HZ / 1000) * CHUNK_MS * 2;

// Collects a call's events: counts by kind, every event but the sound, and the sound's bytes.
function collect(call, onEvent) {
  const seen = { kinds: {}, events: [], audioBytes: 0, rates: [], peak: 0 };
  return new Promise((resolve) => {
    call.on("data", (message) => {
      const kind = message.event;
      seen.kinds[kind] = (seen.kinds[kind] ?? 0) + 1;
      if (kind === "audio") {
        const pcm = message.audio.pcm;
        seen.audioBytes += pcm.length;
        seen.rates.push(message.audio.format.sampleRateHz);
        for (let at = 0; at < pcm.length; at += 2) seen.peak = Math.max(seen.peak, Math.abs(pcm.readInt16LE(at)));
      } else {
        seen.events.push({ kind, ...message[kind] });
      }
      onEvent?.(kind);
    });
    call.on("error", (error) => resolve({ ...seen, error: { code: error.code, details: error.details } }));
    call.on("end", () => resolve(seen));
  });
}

function speak(text) {
  const deadline = Date.now() + 60_000;
  return collect(client.Speak({ text, emotion: "joy", lead: { seconds: 0 } }, { deadline }));
}

// Sends the recording at the pace of speech, then silence until the reply is complete.
function converse(file) {
  const recording = fs.readFileSync(file);
  const call = client.Converse({ deadline: Date.now() + 60_000 });
  call.write({ config: { input: { encoding: "AUDIO_ENCODING_PCM_S16LE", sampleRateHz: RATE_HZ } } });
  let at = 0;
  const pace = setInterval(() => {
    const chunk = recording.subarray(at, at + CHUNK_BYTES);
    at += CHUNK_BYTES;
    call.write({ audio: chunk.length ? chunk : Buffer.alloc(CHUNK_BYTES) });
  }, CHUNK_MS);
  const stop = () => {
    clearInterval(pace);
    call.end();
  };
  call.on("error", () => clearInterval(pace));
  return collect(call, (kind) => {
    if (kind === "replyEnded" || kind === "turnFailed") stop();
  });
}

const commands = { speak, converse };
commands[command](argument).then((seen) => {
  console.log(JSON.stringify(seen));
  client.close();
});
