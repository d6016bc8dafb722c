// Light or dark: follows the system unless the user chose. Loaded before the page is drawn, so no module.

(() => {
  const KEY = 'oviya-theme';
  const systemIsDark = matchMedia('(prefers-color-scheme: dark)');

  function apply() {
    const chosen = localStorage.getItem(KEY) || (systemIsDark.matches ? 'dark' : 'light');
    document.documentElement.dataset.theme = chosen;
    document.dispatchEvent(new Event('themechange')); // canvases are drawn again
  }

  systemIsDark.addEventListener('change', apply);
  document.addEventListener('themechosen', apply); // preferences.js has stored the choice
  apply();
})();
