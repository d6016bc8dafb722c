// The drawn parts of the page: sound, emotions, latency and services.

import { make } from '../dom.js';
import { Feelings } from './feelings.js';
import { FirstSound } from './first-sound.js';
import { Listeners } from './listener.js';
import { MeshState } from './mesh.js';
import { Spectrogram } from './spectrogram.js';
import { Waterfall } from './waterfall.js';

/**
 * Draws a session. Where the page is too narrow to show all parts beside the conversation, buttons open one at a time.
 */
export class Pictures {
  /** @param {HTMLElement} root an empty element */
  constructor(root) {
    root.classList.add('pictures');
    this.root = root;
    this.buttons = make('div', { className: 'picture-buttons' });
    root.replaceChildren(this.buttons);
    this.listeners = new Listeners();
    this.firstSound = new FirstSound(this.listeners);
    this.spectrogram = new Spectrogram(this.#add('sound', 'Sound'), this.listeners);
    this.feelings = new Feelings(this.#add('feelings', 'Emotions'));
    this.waterfall = new Waterfall(this.#add('latency', 'Latency'));
    this.mesh = new MeshState(this.#add('mesh', 'Services'));
  }

  /**
   * An event of the data channel (see wire.js); other events change nothing.
   * @param {{name: string, turn: number, value: any}} event
   */
  event({ name, turn, value }) {
    switch (name) {
      case 'speechStarted':
        this.spectrogram.mark('speech');
        break;
      case 'final':
        this.spectrogram.mark('final');
        break;
      case 'interrupted':
        this.spectrogram.mark('interruption');
        break;
      case 'userFeeling':
        this.feelings.heard(value);
        break;
      case 'replySentence':
        this.firstSound.announced(turn);
        if (value.plan) this.feelings.spoken(value.plan);
        break;
      case 'replyEnded':
        if (value.latency) this.waterfall.add(value.latency, this.firstSound.delays.get(turn));
        break;
      case 'degraded':
        this.mesh.degrade(value);
        break;
    }
  }

  /**
   * The sound of both sides, measured until the next call.
   * @param {{user?: MediaStream | null, reply?: MediaStream | null}} streams
   */
  streams({ user = null, reply = null }) {
    this.listeners.follow({ user, reply });
    this.spectrogram.run();
  }

  /** @param {import('../readiness.js').Readiness | null} report null: the gateway does not respond */
  readiness(report) {
    this.mesh.show(report);
    if (report) void this.feelings.load();
  }

  /** Forgets the session, e.g. because a new one starts. The state of the services stays. */
  reset() {
    this.firstSound.reset();
    this.spectrogram.reset();
    this.feelings.reset();
    this.waterfall.reset();
  }

  /**
   * Adds a part and the button that opens it.
   * @param {string} id
   * @param {string} title
   * @returns {HTMLElement} the part
   */
  #add(id, title) {
    const heading = make('h2', { attributes: { id: `picture-${id}-title` } }, title);
    const labelled = { id: `picture-${id}`, 'aria-labelledby': `picture-${id}-title` };
    const part = make('section', { className: 'picture', attributes: labelled }, heading);
    const states = { type: 'button', 'aria-expanded': 'false', 'aria-controls': `picture-${id}` };
    const button = make('button', { className: 'quiet small', attributes: states }, title);
    button.addEventListener('click', () => this.#open(button.getAttribute('aria-expanded') === 'true' ? null : part));
    this.buttons.append(button);
    this.root.append(part);
    return part;
  }

  /** @param {HTMLElement | null} opened null: all are closed */
  #open(opened) {
    this.root.querySelectorAll('.picture').forEach((part, position) => {
      part.classList.toggle('open', part === opened);
      this.buttons.children[position].setAttribute('aria-expanded', String(part === opened));
    });
  }
}
