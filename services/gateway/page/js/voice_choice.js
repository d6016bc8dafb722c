// The choice of the voice that speaks: a speaker of the checkpoint, or the voice of a clip.

import { ClipForm } from './clip_form.js';
import { byId, option } from './dom.js';
import { deleteVoice, fetchVoices } from './gateway.js';
import { prefer, preference } from './preferences.js';
import { failureText, problemText } from './problems.js';
import { storedToken } from './token.js';

/**
 * The voice of a clip. Whoever has the token may speak with it and delete it. One that is not `kept` is forgotten by the
 * gateway after a while, and by this page when it is closed; its name is random.
 * @typedef {{name: string, voiceToken: string, kept: boolean}} OwnVoice
 */

export class VoiceChoice {
  /**
   * @param {{send: (request: object) => void, recordingClip: (on: boolean) => void}} actions `send` sends a request to
   *   the running session; nothing without one
   */
  constructor({ send, recordingClip }) {
    this.send = send;
    /** @type {HTMLSelectElement} */
    this.select = byId('voices');
    this.forgetButton = byId('forget-voice');
    this.status = byId('voice-status');
    /** @type {OwnVoice[]} */
    this.own = JSON.parse(preference('voices') || '[]');
    /** @type {{id: number, name: string}[]} */
    this.speakers = [];
    this.chosen = preference('voice');
    this.form = new ClipForm({ recording: recordingClip, registered: (voice) => this.#add(voice) });
    this.select.addEventListener('change', () => this.#choose(this.select.value));
    this.forgetButton.addEventListener('click', () => void this.#forget());
  }

  /** Lists the voices that there are now. */
  async list() {
    try {
      const voices = await fetchVoices(storedToken());
      byId('voice-settings').hidden = voices === null;
      if (!voices) return;
      this.speakers = voices.speakers;
      this.form.offer(voices.keeps);
      this.#show();
    } catch (error) {
      this.status.textContent = problemText(error);
    }
  }

  /** A session is open: it gets the voice that was chosen before. */
  sessionOpened() {
    if (this.chosen) this.#send();
  }

  /** @param {import('./wire.js').ConversationEvent} event */
  take({ name, value }) {
    if (name === 'voiceSet') this.status.textContent = `The next replies are spoken by ${this.name}.`;
    if (name === 'requestFailed' && value.field?.startsWith('set_voice')) this.status.textContent = failureText(value);
  }

  /** The name of the chosen voice for display. */
  get name() {
    return this.select.selectedOptions[0]?.text || (this.#ownVoice && this.#label(this.#ownVoice)) || 'the chosen voice';
  }

  get #ownVoice() {
    return this.own.find(({ name }) => this.chosen === `own ${name}`);
  }

  /** @param {OwnVoice} voice */
  #label(voice) {
    return voice.kept ? voice.name : `Clip ${this.own.filter(({ kept }) => !kept).indexOf(voice) + 1}`;
  }

  #show() {
    const speakers = this.speakers.length ? this.speakers : [{ id: 0, name: 'the server’s voice' }];
    this.select.replaceChildren(
      ...speakers.map(({ id, name }) => option(`speaker ${id}`, name)),
      ...this.own.map((voice) => option(`own ${voice.name}`, this.#label(voice))),
    );
    if (this.chosen) this.select.value = this.chosen;
    if (this.select.selectedIndex < 0) this.select.selectedIndex = 0;
    this.forgetButton.hidden = !this.#ownVoice;
  }

  /** @param {string} voice a value of the list */
  #choose(voice) {
    this.chosen = voice;
    prefer('voice', this.#ownVoice?.kept === false ? '' : voice);
    this.#show();
    this.status.textContent = '';
    this.#send();
  }

  #send() {
    const own = this.#ownVoice;
    const setVoice = own
      ? { registered: own.name, voiceToken: own.voiceToken }
      : { speaker: Number(this.chosen.replace('speaker ', '')) };
    this.send({ setVoice });
  }

  /** @param {OwnVoice} voice a new one, which speaks from now on */
  #add(voice) {
    this.#keep([...this.own.filter(({ name }) => name !== voice.name), voice]);
    this.#choose(`own ${voice.name}`);
  }

  async #forget() {
    const own = this.#ownVoice;
    if (!own) return;
    try {
      await deleteVoice(own, storedToken());
    } catch (error) {
      this.status.textContent = problemText(error);
      return;
    }
    const label = this.#label(own);
    this.#keep(this.own.filter((voice) => voice !== own));
    this.#choose(`speaker ${this.speakers[0]?.id ?? 0}`);
    this.status.textContent = `The voice of ${label} is forgotten.`;
  }

  /** @param {OwnVoice[]} voices */
  #keep(voices) {
    this.own = voices;
    prefer('voices', JSON.stringify(voices.filter(({ kept }) => kept)));
  }
}
