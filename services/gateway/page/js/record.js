// Keeps what was said on this page, for the download of the transcript.

/**
 * A turn as it is downloaded. `heard` and `unheard` are set where the reply was interrupted.
 * @typedef {{said: string, typed: boolean, language?: string, feeling?: string, reply: {text: string, emotion?: string}[],
 *   heard?: string, unheard?: string, dropped?: string, failed?: string, latency?: Record<string, string>}} KeptTurn
 * @typedef {{session: string, started: string, turns: Map<number, KeptTurn>}} KeptSession
 */

export class ConversationRecord {
  constructor() {
    /** @type {KeptSession[]} */
    this.sessions = [];
  }

  /** Whether there is something to download. */
  get empty() {
    return this.sessions.every(({ turns }) => turns.size === 0);
  }

  /** @param {string} session its name */
  startSession(session) {
    this.sessions.push({ session, started: new Date().toISOString(), turns: new Map() });
  }

  /**
   * @param {number} turn
   * @param {string} text
   */
  typed(turn, text) {
    Object.assign(this.#turn(turn), { said: text, typed: true });
  }

  /** @param {import('./wire.js').ConversationEvent} event */
  take({ name, turn, value }) {
    switch (name) {
      case 'sessionStarted':
        this.startSession(value.sessionId);
        break;
      case 'final':
        if (value.text) Object.assign(this.#turn(turn), { said: value.text, language: value.language });
        break;
      case 'userEmotion':
        this.#turn(turn).feeling = value.emotion;
        break;
      case 'replySentence':
        if (!value.filler) this.#turn(turn).reply[value.index ?? 0] = { text: value.text, emotion: value.plan?.emotion };
        break;
      case 'interrupted':
        Object.assign(this.#turn(turn), { heard: value.heardText ?? '', unheard: value.unheardText ?? '' });
        break;
      case 'replyEnded':
        if (this.#known(turn)) this.#turn(turn).latency = value.latency;
        break;
      case 'turnDropped':
        if (value.text) Object.assign(this.#turn(turn), { said: value.text, dropped: value.reason });
        break;
      case 'turnFailed':
        this.#turn(turn).failed = value.message;
        break;
    }
  }

  /** @returns {string} the conversation as lines of text */
  text() {
    return this.sessions.flatMap(({ started, turns }) => [`# ${started}`, ...inOrder(turns).flatMap(lines), '']).join('\n');
  }

  /** @returns {string} the conversation as JSON */
  json() {
    const sessions = this.sessions.map(({ turns, ...session }) => ({ ...session, turns: inOrder(turns) }));
    return JSON.stringify({ sessions }, null, 2);
  }

  /** @param {number} turn */
  #known(turn) {
    return this.sessions.at(-1)?.turns.has(turn) ?? false;
  }

  /**
   * The turn of the running session.
   * @param {number} turn
   * @returns {KeptTurn}
   */
  #turn(turn) {
    const turns = this.sessions.at(-1)?.turns ?? new Map();
    if (!turns.has(turn)) turns.set(turn, { said: '', typed: false, reply: [] });
    return turns.get(turn);
  }
}

/** @param {Map<number, KeptTurn>} turns */
function inOrder(turns) {
  return [...turns].sort(([one], [other]) => one - other)
    .map(([turn, kept]) => ({ turn, ...kept, reply: kept.reply.filter(Boolean) }));
}

/** @param {KeptTurn} turn */
function lines({ said, feeling, reply, heard, unheard, failed }) {
  const feels = feeling ? ` (seems ${feeling.replaceAll('_', ' ')})` : '';
  const whole = reply.map(({ text }) => text).join(' ');
  const answer = heard === undefined ? whole : `${heard} [interrupted${unheard ? `; not heard: ${unheard}` : ''}]`;
  return [
    said && `You${feels}: ${said}`,
    answer && `Oviya: ${answer}`,
    failed && `Failed: ${failed}`,
  ].filter(Boolean);
}
