// One session from start to stop, with its microphone, connection and meters.

import { Connection } from './connection.js';
import { listenTo } from './level.js';
import { storedSession } from './memory.js';
import { openMicrophone } from './microphone.js';
import { preference } from './preferences.js';
import { SoundRecorder } from './sound_recorder.js';

/**
 * Forwards the events of its Connection. Besides, it dispatches `closed` with 'microphone-lost' if the microphone ends,
 * and `sound` when `microphone` or `reply` is another stream.
 */
export class Session extends EventTarget {
  /**
   * @param {{userMeter: import('./meter.js').Meter, replyMeter: import('./meter.js').Meter,
   *   player: HTMLAudioElement}} places
   */
  constructor(places) {
    super();
    this.places = places;
    /** @type {MediaStream | null} */
    this.microphone = null;
    /** @type {MediaStream | null} */
    this.reply = null;
    /** @type {Connection | null} */
    this.connection = null;
    // Browsers allow sound only if this is created in response to a click or a key.
    this.context = new AudioContext();
    this.recorder = new SoundRecorder(this.context);
    this.stopped = false;
    this.silent = false;
  }

  /**
   * @param {{iceServers: RTCIceServer[], token: string, withMicrophone: boolean}} options
   * @throws {import('./microphone.js').MicrophoneError}
   * @throws {import('./gateway.js').Refused}
   */
  async start({ iceServers, token, withMicrophone }) {
    if (this.stopped) return;
    try {
      if (withMicrophone) await this.useMicrophone(preference('microphone'));
      if (this.stopped) return;
      this.connection = new Connection(iceServers);
      for (const name of ['open', 'event', 'unstable', 'stable']) {
        this.connection.addEventListener(name, (event) => this.#dispatch(name, /** @type {CustomEvent} */ (event).detail));
      }
      this.connection.addEventListener('audio', (event) => this.#play(/** @type {CustomEvent} */ (event).detail));
      this.connection.addEventListener('closed', (event) => this.#end(/** @type {CustomEvent} */ (event).detail));
      await this.connection.connect(this.microphone, token, storedSession());
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Whether the user can speak, and not only type. */
  get hasMicrophone() {
    return this.microphone !== null;
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.silent = muted;
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /**
   * Opens a microphone; one that was open is replaced.
   * @param {string} device its id; empty: the browser's choice
   * @throws {import('./microphone.js').MicrophoneError}
   */
  async useMicrophone(device) {
    const microphone = await openMicrophone(device);
    const [track] = microphone.getAudioTracks();
    if (this.stopped) { // while the browser was asking
      track.stop();
      return;
    }
    this.#releaseMicrophone();
    this.microphone = microphone;
    track.enabled = !this.silent;
    track.onended = () => this.#end('microphone-lost');
    this.places.userMeter.follow(listenTo(this.context, microphone));
    this.recorder.recordUser(microphone);
    this.#dispatch('sound');
    await this.connection?.replaceMicrophone(track);
  }

  /** @param {object} request a ConverseRequest in proto3 JSON */
  send(request) {
    this.connection?.send(request);
  }

  /** Ends the session and releases the microphone. */
  stop() {
    this.stopped = true;
    this.connection?.close();
    this.#releaseMicrophone();
    this.recorder.stop();
    this.places.userMeter.follow(null);
    this.places.replyMeter.follow(null);
    this.places.player.srcObject = null;
    if (this.context.state !== 'closed') void this.context.close();
  }

  #releaseMicrophone() {
    for (const track of this.microphone?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
  }

  /** @param {MediaStream} stream */
  #play(stream) {
    this.places.player.srcObject = stream;
    this.places.replyMeter.follow(listenTo(this.context, stream));
    this.recorder.recordReply(stream);
    this.reply = stream;
    this.#dispatch('sound');
  }

  /** @param {string} how */
  #end(how) {
    this.stop();
    this.#dispatch('closed', how);
  }

  /**
   * @param {string} name
   * @param {any} [detail]
   */
  #dispatch(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
