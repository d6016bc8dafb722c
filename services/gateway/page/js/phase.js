// What the conversation does now, derived from its events.

/** @typedef {'listening' | 'hearing' | 'thinking' | 'speaking' | 'paused'} Activity */

/**
 * Turns overlap: the user may speak while a reply is spoken. A reply that is heard outweighs speech, and a reply that is
 * paused outweighs both.
 */
export class Phase {
  constructor() {
    /** @type {Set<number>} turns in which the user speaks */
    this.hearing = new Set();
    /** @type {Set<number>} turns whose reply is being made */
    this.thinking = new Set();
    /** @type {number | null} the turn whose reply is spoken */
    this.speaking = null;
    /** @type {number | null} the turn whose reply is paused */
    this.paused = null;
    /** Typed messages without a turn yet. */
    this.typed = 0;
  }

  /** A typed message was sent. */
  sent() {
    this.typed += 1;
  }

  /** A typed message got a turn. @param {number} turn */
  numbered(turn) {
    this.typed -= 1;
    this.thinking.add(turn);
  }

  /** @param {import('./wire.js').ConversationEvent} event */
  take({ name, turn }) {
    switch (name) {
      case 'speechStarted':
        this.hearing.add(turn);
        break;
      case 'turnEnded':
        this.hearing.delete(turn);
        this.thinking.add(turn);
        break;
      case 'replySentence':
        this.thinking.delete(turn);
        this.speaking = turn;
        break;
      case 'replyPaused':
        this.paused = turn;
        break;
      case 'replyResumed':
        this.paused = null;
        break;
      case 'turnDropped':
      case 'interrupted':
      case 'replyEnded':
      case 'turnFailed':
        this.#over(turn);
        break;
    }
  }

  /** @returns {Activity} */
  get activity() {
    if (this.paused !== null) return 'paused';
    if (this.speaking !== null) return 'speaking';
    if (this.hearing.size) return 'hearing';
    return this.thinking.size || this.typed ? 'thinking' : 'listening';
  }

  /** Whether a reply is heard, or paused. */
  get aloud() {
    return this.paused !== null || this.speaking !== null;
  }

  /** Whether there is a reply that can be stopped: it is made, spoken or paused. */
  get replying() {
    return this.aloud || this.thinking.size > 0;
  }

  /** @param {number} turn */
  #over(turn) {
    this.hearing.delete(turn);
    this.thinking.delete(turn);
    if (this.speaking === turn) this.speaking = null;
    if (this.paused === turn) this.paused = null;
  }
}
