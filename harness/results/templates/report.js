// SPDX-License-Identifier: Apache-2.0
"use strict";
(() => {
  const scenarios = Array.from(document.querySelectorAll("details.scenario"));
  const search = document.getElementById("search");
  const toggles = Array.from(document.querySelectorAll("button.toggle"));
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const kept = document.getElementById("kept");
  const groups = Array.from(document.querySelectorAll(".cause"));
  const loud = document.getElementById("loud");
  const LOUD = ["failed", "crashed", "hung", "error"];
  // What is searched: at first what is in the page, for kept ones the heading; their steps once they are unpacked.
  const texts = new Map(scenarios.map((s) => [s, s.textContent.toLowerCase()]));
  const marks = new Map(scenarios.map((s) => [s, new Set(s.dataset.words.split(" "))]));

  // The steps of what passed or was skipped: gzip in base64, unpacked once, when somebody first wants any of them.
  let unpacking = null;
  const unpack = async () => {
    const bytes = Uint8Array.from(atob(kept.content.textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };
  const sayPacked = () => { document.getElementById("packed").hidden = false; };
  const unpacked = () => {
    unpacking = unpacking || unpack().catch(() => { sayPacked(); return {}; });
    return unpacking;
  };
  const isKept = (scenario) => scenario.querySelector(".kept") !== null;
  // Their text was escaped before it was packed, and the page's policy holds for what is put in, too.
  const fill = async (scenario) => {
    if (!isKept(scenario)) return;
    const html = (await unpacked())[scenario.id];
    const place = scenario.querySelector(".kept");
    if (html === undefined || place === null) return;
    place.innerHTML = html;
    place.classList.replace("kept", "unpacked");
  };
  let reading = null;
  const readAll = async () => {
    const parser = new DOMParser();
    for (const [id, html] of Object.entries(await unpacked())) {
      const scenario = document.getElementById(id);
      const steps = parser.parseFromString(html, "text/html").body.textContent.toLowerCase();
      texts.set(scenario, `${scenario.querySelector("summary").textContent.toLowerCase()} ${steps}`);
    }
  };

  // Search and filter stand in the address, so that a link to it shows the same.
  const remember = () => {
    const off = toggles.filter((t) => t.getAttribute("aria-pressed") !== "true").map((t) => t.dataset.verdict);
    const state = new URLSearchParams();
    if (search.value) state.set("q", search.value);
    if (off.length) state.set("without", off.join(","));
    const target = /^#[^=]*$/.test(location.hash) ? location.hash : "";
    history.replaceState(null, "", String(state) ? `#${state}` : target || location.pathname);
  };
  const recall = () => {
    if (!location.hash.includes("=")) return false;
    const state = new URLSearchParams(location.hash.slice(1));
    search.value = state.get("q") || "";
    const off = new Set((state.get("without") || "").split(","));
    for (const toggle of toggles) toggle.setAttribute("aria-pressed", String(!off.has(toggle.dataset.verdict)));
    return true;
  };
  const only = (verdicts) => {
    for (const toggle of toggles) toggle.setAttribute("aria-pressed", String(verdicts.includes(toggle.dataset.verdict)));
    apply();
  };

  const isMark = (word) => /^(rule|route):./.test(word);
  const wanted = () => search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const apply = () => {
    const words = wanted();
    const on = new Set(toggles.filter((t) => t.getAttribute("aria-pressed") === "true").map((t) => t.dataset.verdict));
    let count = 0;
    for (const scenario of scenarios) {
      const text = texts.get(scenario), marked = marks.get(scenario);
      const match = on.has(scenario.dataset.verdict)
        && words.every((word) => (isMark(word) ? marked.has(word) : text.includes(word)));
      scenario.hidden = !match;
      count += match ? 1 : 0;
    }
    for (const group of groups) group.hidden = group.querySelector("details.scenario:not([hidden])") === null;
    const only = toggles.every((t) => (t.getAttribute("aria-pressed") === "true") === LOUD.includes(t.dataset.verdict));
    loud.setAttribute("aria-pressed", String(only));
    shown.textContent = `${count} of ${scenarios.length} shown`;
    remember();
    none.hidden = count !== 0 || scenarios.length === 0;
  };
  const look = async () => {
    if (kept && !wanted().every(isMark)) {
      shown.textContent = "searching …";
      reading = reading || readAll();
      await reading;
    }
    apply();
  };

  for (const toggle of toggles) {
    toggle.addEventListener("click", () => {
      toggle.setAttribute("aria-pressed", String(toggle.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  search.addEventListener("input", look);
  loud.addEventListener("click", () => {
    only(loud.getAttribute("aria-pressed") === "true" ? toggles.map((t) => t.dataset.verdict) : LOUD);
  });
  for (const button of document.querySelectorAll("button[data-only]")) {
    button.addEventListener("click", () => only([button.dataset.only]));
  }
  // A command is copied with its button; where the browser has no clipboard for files, it is selected.
  document.addEventListener("click", async (event) => {
    const button = event.target instanceof Element ? event.target.closest("button.copy") : null;
    if (button === null) return;
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = document.execCommand("copy") ? "copied" : "selected";
    }
  });
  // Whoever opens one, a person, the browser's own search or this script, it is filled.
  document.addEventListener("toggle", (event) => {
    if (event.target instanceof HTMLDetailsElement && event.target.open) fill(event.target);
  }, true);
  document.getElementById("open").addEventListener("click", () => {
    for (const scenario of scenarios) if (!scenario.hidden) scenario.open = true;
  });
  document.getElementById("close").addEventListener("click", () => {
    for (const scenario of scenarios) scenario.open = false;
  });
  // A click on a cell of the matrix looks for its rule and route.
  for (const link of document.querySelectorAll("a[data-search]")) {
    link.addEventListener("click", () => { search.value = link.dataset.search; look(); });
  }
  const openTarget = () => {
    const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
    if (target instanceof HTMLDetailsElement) { target.hidden = false; target.open = true; }
  };
  window.addEventListener("hashchange", () => { if (recall()) look(); else openTarget(); });
  // On paper nothing can be opened any more: the first of each cause is opened before.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = groups.map((g) => g.querySelector("details.scenario:not([hidden])")).filter((s) => s && !s.open);
    for (const scenario of closed) scenario.open = true;
  });
  window.addEventListener("afterprint", () => { for (const scenario of closed) scenario.open = false; });
  if (kept && typeof DecompressionStream === "undefined") sayPacked();
  if (recall()) look();
  else { apply(); openTarget(); }
})();
