// What is known of one session: it follows the events and passes them on to what shows and keeps them.

import { Phase } from './phase.js';
import { TypedTurns } from './typed.js';

export class Talk {
  /**
   * @param {import('./transcript.js').Transcript} transcript
   * @param {import('./record.js').ConversationRecord} record
   */
  constructor(transcript, record) {
    this.transcript = transcript;
    this.record = record;
    this.phase = new Phase();
    this.typed = new TypedTurns();
  }

  /** A typed message was sent. @param {string} text */
  sent(text) {
    this.typed.sent(text);
    this.phase.sent();
    this.transcript.userTyped(text);
    this.#showThinking();
  }

  /** @param {import('./wire.js').ConversationEvent} event */
  take(event) {
    const message = this.typed.messageOf(event);
    if (message !== undefined) {
      this.phase.numbered(event.turn);
      this.transcript.numbered(event.turn);
      this.record.typed(event.turn, message);
    }
    this.phase.take(event);
    this.record.take(event);
    this.transcript.show(event);
    this.#showThinking();
  }

  #showThinking() {
    this.transcript.thinking(this.phase.activity === 'thinking');
  }
}
