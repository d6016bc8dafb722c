// Shows the conversation: both sides' words and emotions.

import { make } from './dom.js';
import { readableEmotion, seconds } from './wire.js';

// Within this distance of the end, the view follows the conversation; further up, the user is reading.
const FOLLOW_PX = 80;

export class Transcript {
  /**
   * @param {{scroller: HTMLElement, welcome: HTMLElement, list: HTMLElement, partial: HTMLElement,
   *   thinking: HTMLElement}} places
   */
  constructor({ scroller, welcome, list, partial, thinking }) {
    this.scroller = scroller;
    this.welcome = welcome;
    this.list = list;
    this.partialLine = partial;
    this.thinkingDots = thinking;
    this.following = true;
    scroller.addEventListener('scroll', () => {
      this.following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < FOLLOW_PX;
    });
    new ResizeObserver(() => this.#follow()).observe(scroller);
    /** @type {Map<number, HTMLElement>} */
    this.users = new Map();
    /** @type {Map<number, HTMLElement>} */
    this.replies = new Map();
    /**
     * Typed messages whose turn number is not known yet, oldest first.
     * @type {HTMLElement[]}
     */
    this.typed = [];
  }

  /** Starts a new session: turn numbers restart, the earlier text stays. */
  startSession() {
    if (this.list.childElementCount) this.note('New session');
    this.users.clear();
    this.replies.clear();
    this.typed = [];
  }

  /** Ends the session. */
  endSession() {
    this.partial('');
    this.thinking(false);
    for (const reply of this.replies.values()) reply.classList.remove('speaking');
  }

  /**
   * The current partial transcript.
   * @param {string} text empty: none
   */
  partial(text) {
    this.#change(() => {
      this.partialLine.textContent = text;
      this.partialLine.hidden = !text;
    });
  }

  /** @param {boolean} on */
  thinking(on) {
    this.#change(() => { this.thinkingDots.hidden = !on; });
  }

  /**
   * What the user said.
   * @param {number} turn
   * @param {string} text
   * @param {string} language as a BCP 47 tag; empty: unknown
   */
  userSaid(turn, text, language) {
    if (!text) return;
    const item = this.#addUser(text);
    if (language) item.lang = language;
    this.users.set(turn, item);
  }

  /**
   * What the user typed. The gateway does not repeat it; only its answers contain the turn number.
   * @param {string} text
   */
  userTyped(text) {
    this.typed.push(this.#addUser(text));
    this.thinking(true);
  }

  /**
   * What the user seems to feel.
   * @param {number} turn
   * @param {{emotion: string}} score
   */
  userFeels(turn, { emotion }) {
    const item = this.#userOf(turn);
    if (!item) return;
    this.#change(() => metaOf(item).replaceChildren(`seems ${readableEmotion(emotion)}`));
  }

  /**
   * A sentence of the reply whose playback starts.
   * @param {number} turn
   * @param {{text: string, language?: string, plan?: {emotion: string, style?: string}}} sentence
   */
  oviyaSays(turn, { text, language, plan }) {
    this.#change(() => {
      let item = this.replies.get(turn);
      if (!item) {
        item = message('reply', 'Oviya', make('p', { className: 'words' }));
        item.classList.add('speaking');
        this.replies.set(turn, item);
        const user = this.#userOf(turn);
        if (user) user.after(item);
        else this.list.append(item);
      }
      const words = make('span', { className: 'sentence' }, `${text} `);
      if (language) words.lang = language;
      item.querySelector('.words')?.append(words);
      if (plan?.emotion && item.dataset.emotion !== plan.emotion) {
        item.dataset.emotion = plan.emotion;
        const chip = { className: 'chip', data: { style: plan.style || 'neutral' } };
        metaOf(item).append(make('span', chip, readableEmotion(plan.emotion)));
      }
    });
  }

  /**
   * The reply is complete, or was stopped because the user spoke.
   * @param {number} turn
   * @param {{latency?: {firstAudio?: string}}} ended
   */
  replyEnded(turn, { latency }) {
    const item = this.replies.get(turn);
    if (!item) return;
    item.classList.remove('speaking');
    const delay = seconds(latency?.firstAudio);
    if (delay === undefined) return;
    this.#change(() => metaOf(item).append(make('span', { className: 'delay' }, `after ${delay.toFixed(1)} s`)));
  }

  /**
   * A line between the turns.
   * @param {string} text
   * @param {'plain' | 'failure'} [kind]
   */
  note(text, kind = 'plain') {
    if (this.list.lastElementChild?.textContent === text) return;
    this.#change(() => this.list.append(make('li', { className: `note ${kind}` }, text)));
  }

  /** @param {string} text */
  #addUser(text) {
    const item = message('user', 'You', make('p', { className: 'words' }, text));
    this.#change(() => this.list.append(item));
    return item;
  }

  /**
   * The user's part of a turn. A turn without a transcript belongs to the oldest typed message.
   * @param {number} turn
   */
  #userOf(turn) {
    const typed = this.users.has(turn) ? undefined : this.typed.shift();
    if (typed) this.users.set(turn, typed);
    return this.users.get(turn);
  }

  /**
   * Changes the view and keeps its end visible.
   * @param {() => void} change
   */
  #change(change) {
    change();
    this.welcome.hidden = this.list.childElementCount > 0 || !this.partialLine.hidden;
    this.#follow();
  }

  /** Scrolls to the end, unless the user has scrolled up to read. */
  #follow() {
    if (this.following && this.welcome.hidden) this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}

/**
 * @param {'user' | 'reply'} side
 * @param {string} who
 * @param {HTMLElement} words
 */
function message(side, who, words) {
  return make('li', { className: `turn ${side}` }, make('span', { className: 'visually-hidden' }, `${who}: `), words);
}

/** @param {HTMLElement} item */
function metaOf(item) {
  const present = item.querySelector('.meta');
  if (present) return present;
  const meta = make('p', { className: 'meta' });
  item.append(meta);
  return meta;
}
