// A clip of a voice: recorded here or read from a file, and turned into the WAV that the gateway takes.

import { openMicrophone } from './microphone.js';

export const MIN_CLIP_S = 3;
export const MAX_CLIP_S = 30;
const RATE_HZ = 24_000;
const WAV_HEADER_BYTES = 44;

/** A recording that runs. It ends by itself after MAX_CLIP_S. */
export class ClipRecording {
  /**
   * @param {string} device id of the microphone; empty: the browser's choice
   * @returns {Promise<ClipRecording>}
   * @throws {import('./microphone.js').MicrophoneError}
   */
  static async start(device) {
    return new ClipRecording(await openMicrophone(device));
  }

  /** @param {MediaStream} microphone closed at the end */
  constructor(microphone) {
    /** @type {Blob[]} */
    const pieces = [];
    this.recorder = new MediaRecorder(microphone);
    this.recorder.ondataavailable = ({ data }) => pieces.push(data);
    /** @type {Promise<Blob>} the recording, when it has ended */
    this.done = new Promise((resolve) => {
      this.recorder.onstop = () => {
        clearTimeout(this.limit);
        for (const track of microphone.getTracks()) track.stop();
        resolve(new Blob(pieces, { type: this.recorder.mimeType }));
      };
    });
    this.recorder.start();
    this.limit = setTimeout(() => this.stop(), MAX_CLIP_S * 1000);
  }

  stop() {
    if (this.recorder.state === 'recording') this.recorder.stop();
  }
}

/**
 * Decodes a recording of any format that the browser knows.
 * @param {Blob} recording
 * @returns {Promise<{wav: Blob, seconds: number}>} 16-bit mono at 24 kHz
 * @throws {DOMException} it is no sound
 */
export async function toWav(recording) {
  const decoder = new OfflineAudioContext(1, 1, RATE_HZ); // decoding resamples to its rate
  const decoded = await decoder.decodeAudioData(await recording.arrayBuffer());
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, channel) => decoded.getChannelData(channel));
  const samples = Int16Array.from({ length: decoded.length }, (_, at) => {
    const mean = channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length;
    return Math.max(-1, Math.min(1, mean)) * 0x7fff;
  });
  return { wav: new Blob([header(samples.byteLength), samples], { type: 'audio/wav' }), seconds: decoded.duration };
}

/**
 * The header of a WAV file.
 * @param {number} bytes of the samples
 */
function header(bytes) {
  const view = new DataView(new ArrayBuffer(WAV_HEADER_BYTES));
  /** @param {number} at @param {string} tag */
  const write = (at, tag) => [...tag].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  write(0, 'RIFF');
  view.setUint32(4, WAV_HEADER_BYTES - 8 + bytes, true);
  write(8, 'WAVEfmt ');
  view.setUint32(16, 16, true); // size of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, RATE_HZ, true);
  view.setUint32(28, RATE_HZ * 2, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample
  view.setUint16(34, 16, true); // bits a sample
  write(36, 'data');
  view.setUint32(40, bytes, true);
  return view.buffer;
}
