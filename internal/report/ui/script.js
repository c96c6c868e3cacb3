// The page is complete without this script. It adds the filter, keys, copy buttons and
// opens what a link leads to.
"use strict";
(() => {
  const $ = (sel, root = document) => root.querySelector(sel);
  const $$ = (sel, root = document) => Array.from(root.querySelectorAll(sel));
  const themes = $$(".theme").map((el) => ({
    el, severity: el.dataset.severity, head: `${el.id} ${$(".title strong", el).textContent}`.toLowerCase(),
    rows: $$(".rows > li", el).map((li) => ({ li, place: li.dataset.place, text: null })),
    shown: $(".shown", el),
  }));
  const form = $(".filter");

  // A link to a control or a finding opens it, also when it is followed twice.
  const reveal = (hash) => {
    const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) clear();
    for (let el = target; el; el = el.parentElement) if (el.tagName === "DETAILS") el.open = true;
    if (target.tagName === "LI") $("details", target).open = true;
    target.scrollIntoView();
    const focus = $("summary", target);
    if (focus) focus.focus({ preventScroll: true });
  };
  addEventListener("hashchange", () => reveal(location.hash));
  document.addEventListener("click", (e) => {
    const a = e.target.closest("a[href^='#']");
    if (a && a.hash === location.hash) { e.preventDefault(); reveal(a.hash); }
  });

  // Copy buttons are made when what holds them is opened: a large report has thousands.
  const addCopy = (root) => {
    for (const pre of $$("pre.cmd:not(.copyable)", root)) {
      pre.classList.add("copyable");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        const text = $("code", pre).textContent;
        try {
          await navigator.clipboard.writeText(text);
          button.textContent = "Copied";
        } catch {
          getSelection().selectAllChildren($("code", pre));
          button.textContent = "Selected";
        }
        setTimeout(() => { button.textContent = "Copy"; }, 1600);
      });
      pre.append(button);
    }
  };
  document.addEventListener("toggle", (e) => {
    if (e.target.open && e.target.parentElement.tagName === "LI") addCopy(e.target);
  }, true);
  for (const list of $$(".subjects")) addCopy(list);

  let clear = () => {};
  if (form) {
    form.hidden = false;
    $(".keys").hidden = false;
    form.addEventListener("submit", (e) => e.preventDefault());
    const q = $("#q"), place = $("#place"), expand = $("#expand"), status = $(".status"), empty = $(".empty");
    const chips = $$(".chips button");

    const apply = () => {
      const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
      const severities = new Set(chips.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.severity));
      const at = place.value;
      const active = words.length > 0 || severities.size > 0 || at !== "";
      let findings = 0, controls = 0;
      for (const t of themes) {
        let n = 0;
        const off = severities.size > 0 && !severities.has(t.severity);
        for (const r of t.rows) {
          let show = !off && (at === "" || r.place === at);
          if (show && words.length) {
            r.text ??= r.li.textContent.toLowerCase();
            show = words.every((w) => r.text.includes(w) || t.head.includes(w));
          }
          r.li.hidden = !show;
          if (show) n++;
        }
        t.el.hidden = n === 0;
        t.shown.textContent = active && n < t.rows.length ? `${n} of ${t.rows.length} shown` : "";
        if (n) controls++;
        findings += n;
      }
      for (const card of $$(".card[data-place]")) card.hidden = at !== "" && card.dataset.place !== at;
      status.textContent = active ? `${findings} finding${findings === 1 ? "" : "s"} of ${controls} ${form.dataset.of}${controls === 1 ? "" : "s"} match` : "";
      empty.hidden = controls > 0;
    };
    clear = () => {
      q.value = ""; place.value = "";
      for (const b of chips) b.setAttribute("aria-pressed", "false");
      apply();
    };
    let timer;
    q.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 80); });
    place.addEventListener("change", apply);
    for (const b of chips) b.addEventListener("click", () => { b.setAttribute("aria-pressed", String(b.getAttribute("aria-pressed") !== "true")); apply(); });
    $("#clear").addEventListener("click", () => { clear(); q.focus(); });
    for (const a of $$("a.tile")) a.addEventListener("click", (e) => {
      e.preventDefault();
      for (const b of chips) b.setAttribute("aria-pressed", String(b.dataset.severity === a.dataset.severity));
      apply();
      $("#faults").scrollIntoView();
    });
    const visible = () => themes.filter((t) => !t.el.hidden).map((t) => t.el);
    const toggleAll = () => {
      const list = visible(), open = list.some((el) => !el.open);
      for (const el of list) el.open = open;
      expand.textContent = open ? "Close all" : "Open all";
    };
    expand.addEventListener("click", toggleAll);
    new IntersectionObserver(([e]) => form.classList.toggle("stuck", e.intersectionRatio < 1), { threshold: 1, rootMargin: "-1px 0px 0px 0px" }).observe(form);

    document.addEventListener("keydown", (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === "Escape") { clear(); if (document.activeElement === q) q.blur(); return; }
      if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
      if (e.key === "/") { e.preventDefault(); q.focus(); q.select(); }
      else if (e.key === "e") toggleAll();
      else if (e.key === "j" || e.key === "k") {
        const list = visible(), now = list.indexOf(document.activeElement.closest(".theme"));
        const next = list[now < 0 ? 0 : Math.min(Math.max(now + (e.key === "j" ? 1 : -1), 0), list.length - 1)];
        if (next) { $("summary", next).focus(); next.scrollIntoView({ block: "nearest" }); }
      }
    });
  }

  // Paper cannot be opened.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = $$(".theme:not([open]), .fold:not([open])");
    for (const el of closed) el.open = true;
  });
  addEventListener("afterprint", () => { for (const el of closed) el.open = false; });

  if (location.hash) reveal(location.hash);
})();
