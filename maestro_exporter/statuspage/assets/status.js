// Keeps the page up to date: asks for it again now and then, and takes over the parts that have changed.
"use strict";

(() => {
  const PATIENCE = 15000; // ms for an answer
  const period = Number(document.body.dataset.refresh) * 1000;
  const pause = document.getElementById("pause");
  const trouble = document.getElementById("trouble");
  const held = document.getElementById("held");
  let paused = false;
  let asking = false;
  let lastAnswer = new Date();

  // Somebody is copying something: it must not vanish below the mouse.
  function isSelected() {
    const selection = document.getSelection();
    const parts = [...document.querySelectorAll("[data-live]")];
    return !selection.isCollapsed && parts.some((part) => selection.containsNode(part, true));
  }

  function takeOver(fresh) {
    document.title = fresh.title;
    const focused = document.activeElement?.id;
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(old.id);
      if (now !== null && now.innerHTML !== old.innerHTML) {
        old.replaceChildren(...now.childNodes);
      }
    }
    if (focused && document.activeElement?.id !== focused) {
      document.getElementById(focused)?.focus({ preventScroll: true });
    }
  }

  function say(text) {
    if (trouble.textContent !== text) {
      trouble.textContent = text;
      trouble.hidden = text === "";
    }
  }

  async function refresh() {
    held.hidden = paused || !isSelected();
    if (asking || paused || document.hidden || !held.hidden) {
      return;
    }
    asking = true;
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok) {
        throw new Error(`it answers with status ${answer.status}`);
      }
      takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
      lastAnswer = new Date();
      say("");
    } catch (error) {
      const why = error instanceof TypeError ? "it does not answer" : error.message;
      say(`What you see is of ${lastAnswer.toLocaleTimeString()}: no news from the exporter since then (${why}).`);
    } finally {
      asking = false;
    }
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume updates" : "Pause updates";
    refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  document.addEventListener("selectionchange", () => {
    if (!held.hidden && !isSelected()) {
      refresh();
    }
  });
  setInterval(refresh, period);
})();
