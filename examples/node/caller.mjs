// A caller in another language: plays a recording to Oviya and writes what it would have heard.
//
//     npm install
//     node caller.mjs question.wav reply.wav [localhost:50050]
//
// The recording is a mono WAV file of 16 bits, e.g. from: ffmpeg -i question.m4a -ac 1 -sample_fmt s16 question.wav
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [questionFile, replyFile, address = "localhost:50050"] = process.argv.slice(2);
const OUT_HZ = 24000;
const CHUNK_MS = 20;
const LONGEST_SILENCE_S = 10;

const protos = fileURLToPath(new URL("../../protos", import.meta.url));
const definition = loader.loadSync("oviya/v1/conversation.proto", { includeDirs: [protos], enums: String, oneofs: true });
const { ConversationService } = grpc.loadPackageDefinition(definition).oviya.v1;
const call = new ConversationService(address, grpc.credentials.createInsecure()).Converse();

// --- what is said: the recording at the pace of speech, then silence until all is answered
const wav = fs.readFileSync(questionFile);
const rateHz = wav.readUInt32LE(24);
const question = wav.subarray(wav.indexOf("data") + 8);
const chunkBytes = (rateHz / 1000) * CHUNK_MS * 2;
call.write({ config: { input: { sampleRateHz: rateHz }, output: { sampleRateHz: OUT_HZ } } });
let sent = 0;
const microphone = setInterval(() => {
  const chunk = question.subarray(sent, sent + chunkBytes);
  call.write({ audio: chunk.length ? chunk : Buffer.alloc(chunkBytes) });
  sent += chunkBytes;
  const over = sent - question.length;
  const answered = replies.size > 0 && !openTurns.size && over > 0;
  if (answered || over > LONGEST_SILENCE_S * rateHz * 2) hangUp();
}, CHUNK_MS);
const hangUp = () => {
  clearInterval(microphone);
  call.end();
};

// --- what is heard: pieces of sound with their position, which goes back where a paused reply is resumed
const openTurns = new Set();
const replies = new Map(); // by turn: { pieces: [[byte, pcm]], end: byte }
const said = new Set();
const toByte = (position) => Math.round((Number(position?.seconds ?? 0) + (position?.nanos ?? 0) / 1e9) * OUT_HZ) * 2;

const on = {
  speechStarted: (turn) => openTurns.add(turn),
  final: (turn, { text }) => console.log(`you:   ${text}`),
  replySentence: (turn, { index, text, plan }) => {
    if (!said.has(`${turn}.${index}`)) console.log(`oviya: [${plan.emotion}] ${text}`);
    said.add(`${turn}.${index}`); // a resumed reply announces it again
  },
  audio: (turn, { pcm }, position) => {
    const reply = replies.get(turn) ?? { pieces: [], end: 0 };
    replies.set(turn, reply);
    reply.pieces.push([toByte(position), pcm]);
    reply.end = toByte(position) + pcm.length;
  },
  replyEnded: (turn) => openTurns.delete(turn),
  interrupted: (turn, { position }) => {
    console.log("       (interrupted)");
    if (replies.has(turn)) replies.get(turn).end = toByte(position);
    openTurns.delete(turn);
  },
  turnDropped: (turn) => openTurns.delete(turn),
  turnFailed: (turn, { message }) => {
    console.error(`turn ${turn} failed: ${message}`);
    openTurns.delete(turn);
  },
};

call.on("data", (response) => on[response.event]?.(response.turn ?? 0, response[response.event], response.position));
call.on("error", (error) => {
  console.error(error.details);
  process.exit(1);
});
call.on("end", () => {
  clearInterval(microphone);
  const sounds = [...replies.values()].map(({ pieces, end }) => {
    const sound = Buffer.alloc(Math.max(end, ...pieces.map(([at, pcm]) => at + pcm.length)));
    for (const [at, pcm] of pieces) pcm.copy(sound, at);
    return sound.subarray(0, end);
  });
  const body = Buffer.concat(sounds);
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + body.length, 4);
  header.write("WAVEfmt ", 8);
  [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, OUT_HZ, 4], [28, OUT_HZ * 2, 4], [32, 2, 2], [34, 16, 2]].forEach(
    ([at, value, bytes]) => header.writeUIntLE(value, at, bytes),
  );
  header.write("data", 36);
  header.writeUInt32LE(body.length, 40);
  fs.writeFileSync(replyFile, Buffer.concat([header, body]));
  console.log(`${replyFile}: ${(body.length / 2 / OUT_HZ).toFixed(2)} s`);
});
