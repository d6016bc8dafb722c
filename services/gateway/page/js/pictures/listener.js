// Measures the sound of both sides without playing it.

import { loudness } from '../level.js';
import { melBands } from './mel.js';

export const BANDS = 48;
// 43 ms at 48 kHz: bins of 23 Hz, which separate the harmonics of a voice.
const FFT_SIZE = 2048;
// The range of speech at a close microphone.
const FLOOR_DB = -90;
const CEILING_DB = -25;
/** Samples below are silence: -50 dB relative to full scale. */
export const SILENCE = 0.003;

/** One side's sound. */
export class Listener {
  /**
   * @param {AudioContext} context
   * @param {MediaStream} stream
   */
  constructor(context, stream) {
    this.stream = stream;
    this.rateHz = context.sampleRate;
    this.source = context.createMediaStreamSource(stream);
    this.analyser = new AnalyserNode(context, {
      fftSize: FFT_SIZE, smoothingTimeConstant: 0, minDecibels: FLOOR_DB, maxDecibels: CEILING_DB,
    });
    this.bins = melBands(BANDS, context.sampleRate / FFT_SIZE);
    this.spectrum = new Uint8Array(FFT_SIZE / 2);
    this.samples = new Float32Array(FFT_SIZE);
    this.source.connect(this.analyser);
  }

  /**
   * The age of the oldest sound in the last 43 ms.
   * @returns {number} in seconds; 0: all of it is silence
   */
  soundAge() {
    this.analyser.getFloatTimeDomainData(this.samples);
    let first = 0;
    while (first < this.samples.length && Math.abs(this.samples[first]) <= SILENCE) first++;
    return (this.samples.length - first) / this.rateHz;
  }

  /** @returns {number} 0 (silence) to 1, see level.js */
  level() {
    this.analyser.getFloatTimeDomainData(this.samples);
    return loudness(this.samples);
  }

  /**
   * The loudest bin of each band now.
   * @param {Uint8Array} column BANDS values, lowest band first: 0 at -90 dB, 255 at -25 dB
   */
  readBands(column) {
    this.analyser.getByteFrequencyData(this.spectrum);
    this.bins.forEach(({ from, to }, band) => {
      let loudest = 0;
      for (let bin = from; bin < to; bin++) loudest = Math.max(loudest, this.spectrum[bin]);
      column[band] = loudest;
    });
  }

  close() {
    this.source.disconnect();
  }
}

/** The sound of both sides, measured while the page is shown. */
export class Listeners {
  constructor() {
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {Listener | null} */
    this.user = null;
    /** @type {Listener | null} */
    this.reply = null;
    document.addEventListener('visibilitychange', () => this.#followVisibility());
  }

  /**
   * Measures these streams until the next call.
   * @param {{user: MediaStream | null, reply: MediaStream | null}} streams
   */
  follow(streams) {
    for (const side of /** @type {const} */ (['user', 'reply'])) {
      const stream = streams[side];
      if (this[side]?.stream === stream) continue;
      this[side]?.close();
      this[side] = null;
      if (!stream) continue;
      this.context ??= new AudioContext({ latencyHint: 'playback' }); // nothing is played: large blocks cost less
      this[side] = new Listener(this.context, stream);
    }
    if (!this.user && !this.reply) {
      void this.context?.close();
      this.context = null;
    }
    this.#followVisibility();
  }

  #followVisibility() {
    if (document.hidden) void this.context?.suspend();
    else void this.context?.resume();
  }
}
