// Shows the conversation: both sides' words and emotions.

import { make } from './dom.js';
import { Reply } from './reply.js';
import { readableEmotion } from './wire.js';

// Within this distance of the end, the view follows the conversation; further up, the user is reading.
const FOLLOW_PX = 80;

/** Speech over a reply that is shown as a small note; noise and the reply's own sound are not shown. */
const SHOWN_DROPS = ['DROP_REASON_BACKCHANNEL', 'DROP_REASON_STOP_PHRASE'];

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
    this.height = 0;
    scroller.addEventListener('scroll', () => {
      if (scroller.scrollHeight !== this.height) return; // the content has changed: it was not the user who scrolled
      this.following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < FOLLOW_PX;
    });
    const resized = new ResizeObserver(() => this.#follow());
    for (const element of [scroller, list]) resized.observe(element);
    /** @type {Map<number, HTMLElement>} */
    this.users = new Map();
    /** @type {Map<number, Reply>} */
    this.replies = new Map();
    /**
     * Typed messages whose turn number is not known yet, oldest first.
     * @type {HTMLElement[]}
     */
    this.typed = [];
    /** The turn whose partial transcript is shown. */
    this.partialTurn = 0;
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
    this.#partial('');
    this.thinking(false);
    for (const reply of this.replies.values()) reply.over();
  }

  /**
   * Shows an event; those without words are ignored.
   * @param {import('./wire.js').ConversationEvent} event
   */
  show({ name, turn, value }) {
    switch (name) {
      case 'partial':
        this.partialTurn = turn;
        this.#partial(value.text ?? '');
        break;
      case 'final':
        this.#partial('');
        this.#userSaid(turn, value.text ?? '', value.language ?? '');
        break;
      case 'turnDropped':
        if (turn === this.partialTurn) this.#partial('');
        this.#dropped(turn, value);
        break;
      case 'userEmotion':
        this.#userFeels(turn, value.emotion);
        break;
      case 'replySentence':
        this.#change(() => this.#replyOf(turn).say(value));
        break;
      case 'wordsSpoken':
        this.replies.get(turn)?.spoken(value.index ?? 0, value.chars ?? 0);
        break;
      case 'replyPaused':
      case 'replyResumed':
        this.replies.get(turn)?.pause(name === 'replyPaused');
        break;
      case 'interrupted':
        this.#interrupted(turn, value);
        break;
      case 'replyEnded':
        this.#change(() => this.replies.get(turn)?.end(value.latency?.firstAudio));
        break;
      case 'turnFailed':
        if (turn === this.partialTurn) this.#partial('');
        this.replies.get(turn)?.over();
        break;
    }
  }

  /** @param {boolean} on */
  thinking(on) {
    this.#change(() => { this.thinkingDots.hidden = !on; });
  }

  /**
   * What the user typed. The gateway does not repeat it.
   * @param {string} text
   */
  userTyped(text) {
    this.typed.push(this.#addUser(text));
  }

  /** The oldest typed message without a turn got one. @param {number} turn */
  numbered(turn) {
    const item = this.typed.shift();
    if (item) this.users.set(turn, item);
  }

  /**
   * A line between the turns.
   * @param {string} text
   * @param {'plain' | 'failure' | 'aside'} [kind] `aside`: what the user said without taking a turn
   */
  note(text, kind = 'plain') {
    if (this.list.lastElementChild?.textContent === text) return;
    this.#change(() => this.list.append(make('li', { className: `note ${kind}` }, text)));
  }

  /** @param {string} text the current partial transcript; empty: none */
  #partial(text) {
    this.#change(() => {
      this.partialLine.textContent = text;
      this.partialLine.hidden = !text;
    });
  }

  /**
   * @param {number} turn
   * @param {string} text
   * @param {string} language as a BCP 47 tag; empty: unknown
   */
  #userSaid(turn, text, language) {
    if (!text) return;
    const item = this.#addUser(text);
    if (language) item.lang = language;
    this.users.set(turn, item);
  }

  /**
   * @param {number} turn
   * @param {{reason: string, text?: string}} dropped
   */
  #dropped(turn, { reason, text }) {
    this.users.get(turn)?.remove(); // its final transcript may have come before
    if (text && SHOWN_DROPS.includes(reason)) this.note(`You: “${text}”`, 'aside');
  }

  /**
   * @param {number} turn
   * @param {string} emotion
   */
  #userFeels(turn, emotion) {
    const item = this.users.get(turn);
    if (!item) return;
    this.#change(() => {
      item.querySelector('.meta')?.remove();
      item.append(make('p', { className: 'meta' }, `seems ${readableEmotion(emotion)}`));
    });
  }

  /**
   * @param {number} turn
   * @param {{heardText?: string, unheardText?: string}} interrupted
   */
  #interrupted(turn, { heardText = '', unheardText = '' }) {
    if (!heardText && !unheardText && !this.replies.has(turn)) return; // nothing had been made
    this.#change(() => this.#replyOf(turn).interrupt(heardText, unheardText));
  }

  /**
   * The reply of a turn; a new one follows what it answers.
   * @param {number} turn
   */
  #replyOf(turn) {
    const known = this.replies.get(turn);
    if (known) return known;
    const reply = new Reply();
    this.replies.set(turn, reply);
    const user = this.users.get(turn);
    if (user) user.after(reply.element);
    else this.list.append(reply.element);
    return reply;
  }

  /** @param {string} text */
  #addUser(text) {
    const who = make('span', { className: 'visually-hidden' }, 'You: ');
    const item = make('li', { className: 'turn user' }, who, make('p', { className: 'words' }, text));
    this.#change(() => this.list.append(item));
    return item;
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
    this.height = this.scroller.scrollHeight;
  }
}
