// The controls of a running session: mute, push-to-talk, and the button that stops the reply.

import { byId } from './dom.js';
import { preference } from './preferences.js';

// What is said while the button is released is still on its way through the browser.
const RELEASE_TAIL_MS = 250;

/** @typedef {'open' | 'push'} TalkMode whether the microphone is open, or only while a button is held */

/** The chosen mode. @returns {TalkMode} */
export function talkMode() {
  return preference('talk-mode') === 'push' ? 'push' : 'open';
}

export class TalkControls {
  /**
   * @param {{silence: (silent: boolean) => void, endTurn: () => void, stopReply: () => void,
   *   changed: () => void}} actions `changed`: whether the microphone is open has changed
   */
  constructor(actions) {
    this.actions = actions;
    this.muteButton = byId('mute');
    this.talkButton = byId('push-to-talk');
    this.stopButton = byId('stop-reply');
    this.muted = false;
    this.held = false;
    /** Whether the microphone is used for something else, e.g. a clip. */
    this.suspended = false;
    this.canStop = false;
    this.releasing = 0;
    this.muteButton.addEventListener('click', () => this.#mute(!this.muted));
    this.stopButton.addEventListener('click', () => this.#stopReply());
    this.#followPointer();
    document.addEventListener('keydown', (event) => this.#onKeyDown(event));
    document.addEventListener('keyup', (event) => {
      if (event.key === ' ' && this.held) {
        event.preventDefault();
        this.#release();
      }
    });
    window.addEventListener('blur', () => this.#release()); // the key may be released elsewhere
  }

  /** A session starts: nothing is muted or held. */
  reset() {
    this.held = false;
    this.#mute(false);
  }

  /**
   * Shows the controls that apply.
   * @param {{microphone: boolean, running: boolean}} session
   */
  show({ microphone, running }) {
    const push = talkMode() === 'push';
    this.muteButton.hidden = !microphone || push;
    this.talkButton.hidden = !microphone || !push;
    this.stopButton.hidden = !running;
    this.apply();
  }

  /** Moves the focus to the button that is held, so that the space bar talks. @param {HTMLElement} button that has it */
  takeFocusFrom(button) {
    if (document.activeElement === button && !this.talkButton.hidden) this.talkButton.focus();
  }

  /** @param {boolean} possible whether there is a reply to stop */
  allowStop(possible) {
    this.canStop = possible;
    this.stopButton.setAttribute('aria-disabled', String(!possible));
  }

  /** @param {boolean} on */
  suspend(on) {
    this.suspended = on;
    this.apply();
  }

  /** Opens or closes the microphone as the controls say. */
  apply() {
    this.actions.silence(this.suspended || (talkMode() === 'push' ? !this.held : this.muted));
    this.actions.changed();
  }

  /** @param {boolean} muted */
  #mute(muted) {
    this.muted = muted;
    this.muteButton.setAttribute('aria-pressed', String(muted));
    this.apply();
  }

  #followPointer() {
    this.talkButton.addEventListener('pointerdown', (/** @type {PointerEvent} */ event) => {
      this.talkButton.setPointerCapture(event.pointerId);
      this.#press();
    });
    for (const end of ['pointerup', 'pointercancel']) this.talkButton.addEventListener(end, () => this.#release());
    this.talkButton.addEventListener('contextmenu', (/** @type {Event} */ event) => event.preventDefault()); // long touch
    this.talkButton.addEventListener('click', (/** @type {MouseEvent} */ event) => {
      if (event.detail) return; // of the pointer
      // Assistive technology presses without holding: the next press releases.
      if (this.held) this.#release();
      else this.#press();
    });
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    if (document.querySelector('dialog[open]')) return;
    if (event.key === 'Escape' && this.canStop) this.#stopReply();
    if (event.key === ' ' && !this.talkButton.hidden && !usesSpace(event.target, this.talkButton)) {
      event.preventDefault(); // it would scroll, or click the button
      if (!event.repeat) this.#press();
    }
  }

  #stopReply() {
    if (this.canStop) this.actions.stopReply();
  }

  #press() {
    clearTimeout(this.releasing);
    if (this.canStop) this.actions.stopReply();
    this.#hold(true);
  }

  #release() {
    if (!this.held) return;
    clearTimeout(this.releasing);
    this.releasing = window.setTimeout(() => {
      this.#hold(false);
      this.actions.endTurn();
    }, RELEASE_TAIL_MS);
  }

  /** @param {boolean} held */
  #hold(held) {
    this.held = held;
    this.talkButton.setAttribute('aria-pressed', String(held));
    this.apply();
  }
}

/**
 * Whether the space bar has a use of its own where the focus is.
 * @param {EventTarget | null} target
 * @param {HTMLElement} talkButton
 */
function usesSpace(target, talkButton) {
  return target !== talkButton && target instanceof HTMLElement && target.matches('input, textarea, select, button, a, summary');
}
