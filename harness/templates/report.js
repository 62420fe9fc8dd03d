"use strict";
(() => {
  const scenarios = Array.from(document.querySelectorAll("details.scenario"));
  const search = document.getElementById("search");
  const toggles = Array.from(document.querySelectorAll("button.toggle"));
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const texts = new Map(scenarios.map((s) => [s, s.textContent.toLowerCase()]));

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const on = new Set(toggles.filter((t) => t.getAttribute("aria-pressed") === "true").map((t) => t.dataset.verdict));
    let count = 0;
    for (const scenario of scenarios) {
      const text = texts.get(scenario);
      const match = on.has(scenario.dataset.verdict) && words.every((word) => text.includes(word));
      scenario.hidden = !match;
      count += match ? 1 : 0;
    }
    shown.textContent = `${count} of ${scenarios.length} shown`;
    none.hidden = count !== 0 || scenarios.length === 0;
  };

  for (const toggle of toggles) {
    toggle.addEventListener("click", () => {
      toggle.setAttribute("aria-pressed", String(toggle.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  search.addEventListener("input", apply);
  document.getElementById("open").addEventListener("click", () => {
    for (const scenario of scenarios) if (!scenario.hidden) scenario.open = true;
  });
  document.getElementById("close").addEventListener("click", () => {
    for (const scenario of scenarios) scenario.open = false;
  });
  // A click on a cell of the matrix looks for its rule and route.
  for (const link of document.querySelectorAll("a[data-search]")) {
    link.addEventListener("click", () => { search.value = link.dataset.search; apply(); });
  }
  const openTarget = () => {
    const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
    if (target instanceof HTMLDetailsElement) { target.hidden = false; target.open = true; }
  };
  window.addEventListener("hashchange", openTarget);
  // On paper nothing can be opened any more: those that need reading are opened before.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = scenarios.filter((s) => !s.open && !["passed", "skipped"].includes(s.dataset.verdict));
    for (const scenario of closed) scenario.open = true;
  });
  window.addEventListener("afterprint", () => { for (const scenario of closed) scenario.open = false; });
  apply();
  openTarget();
})();
