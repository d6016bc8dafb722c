// One WebRTC session with the gateway: sends the microphone, receives the reply's sound and events.

import { postOffer } from './gateway.js';
import { readEvent } from './wire.js';

// A host with many interfaces may take longer; the candidates found by then are enough to connect.
const GATHERING_LIMIT_MS = 3_000;
// A Wi-Fi handover interrupts for a few seconds; after this time the connection counts as lost.
const INTERRUPTION_LIMIT_MS = 8_000;
const CONNECT_LIMIT_MS = 15_000;

/**
 * Dispatches, as CustomEvents:
 * - `open`: events and messages flow.
 * - `event`, detail {name, turn, value}: an event of the gateway (see wire.js).
 * - `audio`, detail MediaStream: the reply's sound.
 * - `unstable` / `stable`: the connection is interrupted / works again.
 * - `closed`, detail 'server' (it ended the session) or 'lost'; at most once, not after `close()`.
 */
export class Connection extends EventTarget {
  /** @param {RTCIceServer[]} iceServers */
  constructor(iceServers) {
    super();
    this.peer = new RTCPeerConnection({ iceServers });
    this.channel = this.peer.createDataChannel('events');
    this.ended = false;
    this.timer = 0;
    this.channel.onopen = () => this.#opened();
    this.channel.onclose = () => this.#finish('server');
    this.channel.onmessage = ({ data }) => {
      const event = readEvent(data);
      if (event) this.#dispatch('event', event);
    };
    this.peer.ontrack = ({ streams, track }) => this.#dispatch('audio', streams[0] ?? new MediaStream([track]));
    this.peer.onconnectionstatechange = () => this.#followState();
  }

  /**
   * Connects. Resolves when the gateway has answered; `open` follows.
   * @param {MediaStream | null} microphone null: only typed messages will be sent
   * @param {string} token
   * @param {import('./memory.js').StoredSession} session the session to resume
   * @throws {import('./gateway.js').Refused}
   */
  async connect(microphone, token, session) {
    const track = microphone?.getAudioTracks()[0];
    if (track) this.peer.addTrack(track, /** @type {MediaStream} */ (microphone));
    else this.peer.addTransceiver('audio', { direction: 'recvonly' });
    await this.peer.setLocalDescription();
    await gathered(this.peer);
    const answer = await postOffer(/** @type {RTCSessionDescription} */ (this.peer.localDescription), token, session);
    if (this.ended) return;
    await this.peer.setRemoteDescription(answer);
    this.timer = window.setTimeout(() => this.#finish('lost'), CONNECT_LIMIT_MS);
  }

  /**
   * Sends a request; nothing while the channel is not open.
   * @param {object} request a ConverseRequest in proto3 JSON, e.g. {text: 'Hello'}
   */
  send(request) {
    if (this.channel.readyState === 'open') this.channel.send(JSON.stringify(request));
  }

  /**
   * Sends another microphone from now on, without a new session.
   * @param {MediaStreamTrack} track
   */
  async replaceMicrophone(track) {
    await this.peer.getSenders().find((sender) => sender.track?.kind === 'audio')?.replaceTrack(track);
  }

  /** Ends the session from this side. */
  close() {
    this.ended = true;
    clearTimeout(this.timer);
    this.channel.close();
    this.peer.close();
  }

  #opened() {
    clearTimeout(this.timer);
    this.#dispatch('open');
  }

  #followState() {
    switch (this.peer.connectionState) {
      case 'disconnected':
        this.#dispatch('unstable');
        this.timer = window.setTimeout(() => this.#finish('lost'), INTERRUPTION_LIMIT_MS);
        break;
      case 'connected':
        if (this.channel.readyState !== 'open') break;
        clearTimeout(this.timer);
        this.#dispatch('stable');
        break;
      case 'failed':
        this.#finish('lost');
        break;
      case 'closed':
        this.#finish('server');
        break;
    }
  }

  /** @param {'server' | 'lost'} how */
  #finish(how) {
    if (this.ended) return;
    this.close();
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

/**
 * Waits for the candidates: /offer is one request, so the offer must contain all of them.
 * @param {RTCPeerConnection} peer
 * @returns {Promise<void>}
 */
function gathered(peer) {
  return new Promise((resolve) => {
    const check = () => {
      if (peer.iceGatheringState === 'complete') done();
    };
    const done = () => {
      peer.removeEventListener('icegatheringstatechange', check);
      clearTimeout(limit);
      resolve();
    };
    const limit = setTimeout(done, GATHERING_LIMIT_MS);
    peer.addEventListener('icegatheringstatechange', check);
    check();
  });
}
