// Records a clip of a voice.

import { openMicrophone } from './microphone.js';

/** The longest clip that the gateway takes, in seconds. */
export const MAX_CLIP_S = 30;

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
