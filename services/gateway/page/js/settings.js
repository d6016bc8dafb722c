// The dialog with the settings: talk mode, devices, voice, emotion, colours and downloads.

import { Devices } from './devices.js';
import { byId, make } from './dom.js';
import { fetchEmotions } from './gateway.js';
import { prefer, preference } from './preferences.js';
import { problemText } from './problems.js';
import { talkMode } from './talk_controls.js';
import { VoiceChoice } from './voice_choice.js';
import { readableEmotion } from './wire.js';

/**
 * What the settings change and read.
 * @typedef {object} Actions
 * @property {(device: string) => Promise<void>} useMicrophone
 * @property {() => void} talkModeChanged
 * @property {(on: boolean) => void} recordingClip whether the microphone records a clip now
 * @property {(request: object) => void} send sends a request to the running session; nothing without one
 * @property {import('./record.js').ConversationRecord} record
 * @property {() => import('./sound_recorder.js').SoundRecorder | null} recorder of the last session; null: none
 */

export class Settings {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.dialog = byId('settings');
    /** @type {HTMLSelectElement} */
    this.emotions = byId('emotions');
    this.devices = new Devices(
      { microphones: byId('microphones'), loudspeakers: byId('loudspeakers'), player: byId('reply-audio') },
      (device) => this.#useMicrophone(device),
    );
    this.voices = new VoiceChoice(actions);
    this.dialog.addEventListener('close', () => this.voices.form.stop());
    byId('open-settings').addEventListener('click', () => this.#open());
    choice(byId('talk-mode'), talkMode(), (mode) => {
      prefer('talk-mode', mode);
      actions.talkModeChanged();
    });
    choice(byId('theme'), preference('theme'), (theme) => {
      prefer('theme', theme);
      document.dispatchEvent(new Event('themechosen'));
    });
    this.emotions.addEventListener('change', () => this.#sendEmotion());
    byId('download-text').addEventListener('click', () => download(new Blob([actions.record.text()]), 'conversation.txt'));
    byId('download-json').addEventListener('click', () => download(new Blob([actions.record.json()]), 'conversation.json'));
    byId('download-sound').addEventListener('click', () => void this.#downloadSound());
  }

  /** A session is open: it gets what was chosen before. */
  sessionOpened() {
    if (this.emotions.value) this.#sendEmotion();
    this.voices.sessionOpened();
    void this.devices.useLoudspeaker();
  }

  #open() {
    const { record, recorder } = this.actions;
    byId('download-text').disabled = byId('download-json').disabled = record.empty;
    byId('download-sound').disabled = recorder() === null;
    void this.devices.list();
    void this.voices.list();
    if (!this.emotions.length) void this.#listEmotions();
    this.dialog.showModal();
  }

  async #listEmotions() {
    const byStyle = Map.groupBy(await fetchEmotions(), ({ style }) => style);
    const groups = [...byStyle].map(([style, emotions]) => make(
      'optgroup', { attributes: { label: readableEmotion(style) } },
      ...emotions.map(({ emotion }) => make('option', { attributes: { value: emotion } }, readableEmotion(emotion))),
    ));
    this.emotions.replaceChildren(make('option', { attributes: { value: '' } }, 'as the reply wishes'), ...groups);
  }

  #sendEmotion() {
    this.actions.send({ setEmotion: { emotion: this.emotions.value } });
  }

  /** @param {string} device */
  async #useMicrophone(device) {
    const place = byId('device-problem');
    place.textContent = '';
    try {
      await this.actions.useMicrophone(device);
    } catch (error) {
      place.textContent = problemText(error);
    }
  }

  async #downloadSound() {
    const sound = await this.actions.recorder()?.take();
    if (sound) download(sound, `conversation.${/audio\/(\w+)/.exec(sound.type)?.[1]}`);
  }
}

/**
 * Connects a group of radio buttons.
 * @param {HTMLElement} group
 * @param {string} chosen the value that is chosen now
 * @param {(value: string) => void} onChange
 */
function choice(group, chosen, onChange) {
  for (const radio of group.querySelectorAll('input')) {
    radio.checked = radio.value === chosen;
    radio.addEventListener('change', () => onChange(radio.value));
  }
}

/**
 * @param {Blob} content
 * @param {string} name
 */
function download(content, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href));
}
