// The form that makes a voice of a clip: recorded here or chosen as a file, used only with consent.

import { ClipRecording, MAX_CLIP_S } from './clip.js';
import { byId } from './dom.js';
import { postVoice } from './gateway.js';
import { preference } from './preferences.js';
import { problemText } from './problems.js';
import { storedToken } from './token.js';

export class ClipForm {
  /**
   * @param {{recording: (on: boolean) => void,
   *   registered: (voice: import('./voice_choice.js').OwnVoice) => void}} actions `recording`: whether the microphone
   *   records a clip, which the session must not hear
   */
  constructor({ recording, registered }) {
    this.actions = { recording, registered };
    this.form = byId('clip-form');
    this.recordButton = byId('record-clip');
    this.file = byId('clip-file');
    this.preview = byId('clip-preview');
    this.submit = byId('use-clip');
    this.status = byId('clip-status');
    /** @type {Blob | null} */
    this.clip = null;
    /** @type {ClipRecording | null} */
    this.recording = null;
    this.recordButton.addEventListener('click', () => void this.#record());
    this.file.addEventListener('change', () => this.#take(this.file.files[0] ?? null));
    this.form.addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      void this.#register();
    });
  }

  /** @param {boolean} keeps whether the gateway can keep voices by name */
  offer(keeps) {
    byId('clip-keep').hidden = !keeps;
  }

  /** Ends a recording that runs, e.g. because the dialog closes. */
  stop() {
    this.recording?.stop();
  }

  async #record() {
    if (this.recording) {
      this.recording.stop();
      return;
    }
    this.status.textContent = '';
    this.actions.recording(true);
    const timer = setInterval(() => this.#showSeconds(), 1000);
    try {
      this.recording = await ClipRecording.start(preference('microphone'));
      this.recordButton.setAttribute('aria-pressed', 'true');
      this.startedAt = Date.now();
      this.#showSeconds();
      this.#take(await this.recording.done);
    } catch (error) {
      this.status.textContent = problemText(error);
    } finally {
      clearInterval(timer);
      this.recording = null;
      this.recordButton.setAttribute('aria-pressed', 'false');
      this.recordButton.textContent = 'Record';
      this.actions.recording(false);
    }
  }

  #showSeconds() {
    if (!this.recording) return;
    const seconds = Math.round((Date.now() - (this.startedAt ?? 0)) / 1000);
    this.recordButton.textContent = `Stop recording (${seconds} of ${MAX_CLIP_S} s)`;
  }

  /** @param {Blob | null} clip */
  #take(clip) {
    this.clip = clip;
    URL.revokeObjectURL(this.preview.src);
    this.preview.hidden = clip === null;
    if (clip) this.preview.src = URL.createObjectURL(clip);
    else this.preview.removeAttribute('src');
    this.submit.disabled = clip === null;
    this.status.textContent = '';
  }

  async #register() {
    if (!this.clip) return;
    const name = byId('clip-keep').hidden ? '' : byId('clip-name').value.trim();
    const form = new FormData();
    form.append('audio', this.clip, 'clip');
    form.append('text', byId('clip-text').value.trim());
    form.append('name', name);
    form.append('consent', String(byId('clip-consent').checked));
    this.submit.disabled = true;
    this.status.textContent = 'Listening to the clip…';
    try {
      const { text, name: known, voiceToken } = await postVoice(form, storedToken());
      this.actions.registered({ name: known, voiceToken, kept: name !== '' });
      this.form.reset();
      this.#take(null);
      this.status.textContent = `The clip says: “${text}”`;
    } catch (error) {
      this.status.textContent = problemText(error);
      this.submit.disabled = false;
    }
  }
}
