// Finds the turns of typed messages: the gateway numbers them, but does not say which number a message got.

/** Events that every answered turn has, and that belong to no other turn. */
const OF_A_TURN = ['userEmotion', 'userFeeling', 'replySentence', 'replyPaused', 'interrupted', 'replyEnded', 'turnFailed'];

export class TypedTurns {
  constructor() {
    /**
     * Messages whose turn is not known yet, oldest first.
     * @type {string[]}
     */
    this.waiting = [];
    /**
     * Turns that were spoken, or whose message is known.
     * @type {Set<number>}
     */
    this.known = new Set();
  }

  /** @param {string} text */
  sent(text) {
    this.waiting.push(text);
  }

  /**
   * The message that began the event's turn, at the first event of that turn; typed turns are numbered in their order.
   * @param {import('./wire.js').ConversationEvent} event
   * @returns {string | undefined}
   */
  messageOf({ name, turn }) {
    if (this.known.has(turn)) return undefined;
    if (name === 'speechStarted' || name === 'final') this.known.add(turn);
    if (!OF_A_TURN.includes(name) || !this.waiting.length) return undefined;
    this.known.add(turn);
    return this.waiting.shift();
  }
}
