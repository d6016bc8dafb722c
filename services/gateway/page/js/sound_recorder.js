// Records both sides of a session in the browser, for the download: the user is left, the reply right.

/** What browsers can write, best first: Chromium and Firefox write WebM, Safari MP4. */
const TYPES = ['audio/webm;codecs=opus', 'audio/ogg;codecs=opus', 'audio/mp4'];
const BITS_PER_SECOND = 96_000;
const PIECE_MS = 1_000;

export class SoundRecorder {
  /** @param {AudioContext} context */
  constructor(context) {
    this.context = context;
    this.merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    /** @type {Map<number, AudioNode>} what is connected to each channel */
    this.sources = new Map();
    /** @type {Blob[]} */
    this.pieces = [];
    const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
    this.merger.connect(destination);
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    this.recorder = new MediaRecorder(destination.stream, { mimeType, audioBitsPerSecond: BITS_PER_SECOND });
    this.recorder.ondataavailable = ({ data }) => this.pieces.push(data);
    this.recorder.start(PIECE_MS);
  }

  /** @param {MediaStream} stream */
  recordUser(stream) {
    this.#connect(0, stream);
  }

  /** @param {MediaStream} stream */
  recordReply(stream) {
    this.#connect(1, stream);
  }

  /** @returns {Promise<Blob>} what has been recorded so far */
  async take() {
    if (this.recorder.state === 'recording') {
      const written = new Promise((resolve) => this.recorder.addEventListener('dataavailable', resolve, { once: true }));
      this.recorder.requestData();
      await written;
    }
    return new Blob(this.pieces, { type: this.recorder.mimeType });
  }

  /** Ends the recording; what was recorded can still be taken. */
  stop() {
    if (this.recorder.state === 'recording') this.recorder.stop();
  }

  /**
   * @param {number} channel
   * @param {MediaStream} stream replaces the one before
   */
  #connect(channel, stream) {
    this.sources.get(channel)?.disconnect();
    const source = new MediaStreamAudioSourceNode(this.context, { mediaStream: stream });
    const mono = new GainNode(this.context, { channelCount: 1, channelCountMode: 'explicit' });
    source.connect(mono).connect(this.merger, 0, channel);
    this.sources.set(channel, mono);
  }
}
