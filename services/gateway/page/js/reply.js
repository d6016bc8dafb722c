// One reply in the transcript: its sentences light up as they are spoken, and one that was interrupted shows where.

import { make } from './dom.js';
import { readableEmotion, seconds } from './wire.js';

/**
 * A reply sentence as the gateway announces it.
 * @typedef {{index?: number, text: string, language?: string, filler?: boolean,
 *   plan?: {emotion?: string, style?: string}}} Sentence
 */

export class Reply {
  constructor() {
    this.words = make('p', { className: 'words' });
    this.meta = make('p', { className: 'meta' });
    this.element = make(
      'li', { className: 'turn reply speaking' }, make('span', { className: 'visually-hidden' }, 'Oviya: '), this.words,
    );
    /** @type {Map<number, {end: number, span: HTMLElement}[]>} the words of each sentence, by its index */
    this.sentences = new Map();
    this.emotion = '';
  }

  /**
   * Adds a sentence. After a pause, sentences that are shown already are announced again.
   * @param {Sentence} sentence
   */
  say({ index = 0, text, language, filler, plan }) {
    if (this.sentences.has(index)) return;
    const words = wordsOf(text, language);
    this.sentences.set(index, words);
    const sentence = make('span', { className: filler ? 'sentence filler' : 'sentence' }, ...words.map(({ span }) => span), ' ');
    if (language) sentence.lang = language;
    this.words.append(sentence);
    if (filler || !plan?.emotion || plan.emotion === this.emotion) return;
    this.emotion = plan.emotion;
    const chip = { className: 'chip', data: { style: plan.style || 'neutral' } };
    this.#note(make('span', chip, readableEmotion(plan.emotion)));
  }

  /**
   * Lights the words up that have been spoken. After a pause this goes back.
   * @param {number} index the sentence that is spoken
   * @param {number} chars its code points that have been spoken
   */
  spoken(index, chars) {
    for (const [sentence, words] of this.sentences) {
      let start = 0;
      for (const { end, span } of words) {
        span.classList.toggle('spoken', sentence < index || (sentence === index && start < chars));
        start = end;
      }
    }
  }

  /** @param {boolean} on */
  pause(on) {
    this.element.classList.toggle('paused', on);
  }

  /** @param {string | undefined} firstAudio how long the first sound took, as a Duration */
  end(firstAudio) {
    this.over();
    const delay = seconds(firstAudio);
    if (delay !== undefined) this.#note(make('span', { className: 'delay' }, `after ${delay.toFixed(1)} s`));
  }

  /**
   * Shows what was heard and what was not.
   * @param {string} heard
   * @param {string} unheard
   */
  interrupt(heard, unheard) {
    this.over();
    this.words.setAttribute('aria-live', 'off'); // a screen reader has read these words
    const last = [...this.words.children].at(-1);
    if (last instanceof HTMLElement && last.lang) this.words.lang = last.lang;
    const struck = unheard ? [' ', make('s', { className: 'unheard' }, unheard)] : [];
    this.words.replaceChildren(make('span', { className: 'heard' }, heard), ...struck);
    this.#note(make('span', { className: 'cut' }, 'interrupted'));
  }

  /** The reply is not spoken any more. */
  over() {
    this.element.classList.remove('speaking', 'paused');
  }

  /** @param {HTMLElement} label */
  #note(label) {
    this.element.append(this.meta);
    this.meta.append(label);
  }
}

/**
 * A text in words, each with the number of code points from the text's start to its end.
 * @param {string} text
 * @param {string | undefined} language as a BCP 47 tag
 */
function wordsOf(text, language) {
  let end = 0;
  return Array.from(new Intl.Segmenter(language || 'en', { granularity: 'word' }).segment(text), ({ segment }) => {
    end += [...segment].length;
    return { end, span: make('span', { className: 'word' }, segment) };
  });
}
