// The choice of microphone and loudspeaker.

import { option } from './dom.js';
import { prefer, preference } from './preferences.js';

export class Devices {
  /**
   * @param {{microphones: HTMLSelectElement, loudspeakers: HTMLSelectElement, player: HTMLAudioElement}} places
   * @param {(device: string) => Promise<void>} useMicrophone called when another one is chosen
   */
  constructor({ microphones, loudspeakers, player }, useMicrophone) {
    this.microphones = microphones;
    this.loudspeakers = loudspeakers;
    this.player = player;
    this.choosesLoudspeaker = 'setSinkId' in player;
    loudspeakers.disabled = !this.choosesLoudspeaker;
    microphones.addEventListener('change', () => {
      prefer('microphone', microphones.value);
      void useMicrophone(microphones.value);
    });
    loudspeakers.addEventListener('change', () => {
      prefer('loudspeaker', loudspeakers.value);
      void this.useLoudspeaker();
    });
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.list());
  }

  /** Lists what is connected. Browsers name devices only after the microphone was allowed. */
  async list() {
    const devices = await navigator.mediaDevices?.enumerateDevices() ?? [];
    fill(this.microphones, devices.filter(({ kind }) => kind === 'audioinput'), 'microphone');
    if (this.choosesLoudspeaker) fill(this.loudspeakers, devices.filter(({ kind }) => kind === 'audiooutput'), 'loudspeaker');
  }

  /** Plays replies on the chosen loudspeaker; on the browser's choice if that one is gone. */
  async useLoudspeaker() {
    const chosen = preference('loudspeaker');
    if (!this.choosesLoudspeaker) return;
    try {
      await this.player.setSinkId(chosen);
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'NotFoundError')) throw error;
      prefer('loudspeaker', '');
      await this.player.setSinkId('');
    }
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {'microphone' | 'loudspeaker'} kind the name of the preference
 */
function fill(select, devices, kind) {
  // Chromium lists the browser's choice as a device of its own; before the permission, ids are empty.
  const listed = devices.filter(({ deviceId }) => deviceId && deviceId !== 'default');
  const options = listed.map(({ deviceId, label }, position) => option(deviceId, label || `${kind} ${position + 1}`));
  select.replaceChildren(option('', 'Browser’s choice'), ...options);
  select.value = preference(kind);
  if (select.selectedIndex < 0) select.value = '';
}
