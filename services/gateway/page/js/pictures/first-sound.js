// When the browser received the first sound of a reply.

const POLL_MS = 20;
const LIMIT_MS = 5_000;

/** Waits for the first sound of each reply. */
export class FirstSound {
  /** @param {import('./listener.js').Listeners} listeners */
  constructor(listeners) {
    this.listeners = listeners;
    /** @type {Map<number, number>} by turn, seconds from the event of the first sentence to the first sound */
    this.delays = new Map();
    /** @type {Set<number>} */
    this.watched = new Set();
  }

  /**
   * The first sentence of a turn was announced: its sound comes next. Later sentences change nothing.
   * @param {number} turn
   */
  announced(turn) {
    if (this.watched.has(turn)) return;
    this.watched.add(turn);
    this.#poll(turn, performance.now());
  }

  /** Forgets all turns. */
  reset() {
    this.delays.clear();
    this.watched.clear();
  }

  /**
   * @param {number} turn
   * @param {number} since in ms
   */
  #poll(turn, since) {
    const elapsed = performance.now() - since;
    // The timers of a hidden page are too slow to measure with.
    if (!this.watched.has(turn) || document.hidden || elapsed > LIMIT_MS) return;
    const age = this.listeners.reply?.soundAge() ?? 0;
    if (age) this.delays.set(turn, Math.max(0, elapsed / 1000 - age));
    else setTimeout(() => this.#poll(turn, since), POLL_MS);
  }
}
