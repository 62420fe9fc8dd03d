// SPDX-License-Identifier: Apache-2.0
"use strict";
(() => {
  const search = document.getElementById("search");
  const items = Array.from(document.querySelectorAll(".item"));
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const cell = document.getElementById("cell");
  const state = document.getElementById("state");
  // What a link leads to is opened.
  const open = () => {
    if (!/^#[\w-]+$/.test(location.hash)) return;
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
  // On paper is what can be opened, too.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
  if (search === null) return;

  const texts = new Map(items.map((item) => [item, item.textContent.toLowerCase()]));
  const of = (item, name) => (item.dataset[name] || "");
  // Search and filter stand in the address, so that a link to it shows the same.
  const remember = () => {
    const said = new URLSearchParams();
    if (search.value) said.set("q", search.value);
    if (cell !== null && cell.value) said.set("cell", cell.value);
    if (state !== null && state.value) said.set("state", state.value);
    const target = /^#[^=]*$/.test(location.hash) ? location.hash : "";
    history.replaceState(null, "", String(said) ? `#${said}` : target || location.pathname + location.search);
  };
  const recall = () => {
    if (!location.hash.includes("=")) return;
    const said = new URLSearchParams(location.hash.slice(1));
    search.value = said.get("q") || "";
    if (cell !== null) cell.value = said.get("cell") || "";
    if (state !== null) state.value = said.get("state") || "";
  };
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const item of items) {
      const match = words.every((word) => texts.get(item).includes(word))
        && (cell === null || cell.value === "" || of(item, "cells").split(" ").includes(cell.value))
        && (state === null || state.value === "" || of(item, "states").split("|").includes(state.value));
      item.hidden = !match;
      count += match ? 1 : 0;
    }
    shown.textContent = `${count} of ${items.length} ${shown.dataset.what}`;
    none.hidden = count !== 0 || items.length === 0;
    remember();
  };
  search.addEventListener("input", apply);
  for (const select of [cell, state]) if (select !== null) select.addEventListener("change", apply);
  document.getElementById("reset").addEventListener("click", () => {
    search.value = "";
    for (const select of [cell, state]) if (select !== null) select.value = "";
    apply();
    search.focus();
  });
  addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, select, textarea") !== null;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape" && event.target === search && search.value) {
      search.value = "";
      apply();
    }
  });
  recall();
  apply();
})();
