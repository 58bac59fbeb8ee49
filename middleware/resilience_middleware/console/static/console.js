// Keeps the page live: the server renders, this puts what changed in its place without disturbing who reads.
"use strict";
(() => {
  const $ = (selector, from = document) => from.querySelector(selector);
  const live = $("#live");
  let held = false;
  const kept = new Map();

  // -- panels -------------------------------------------------------------------------------------------------------

  const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });

  function localise(root) {
    for (const time of root.querySelectorAll("time")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      const text = (moment.toDateString() === new Date().toDateString() ? hour : day).format(moment);
      time.title = time.dateTime;
      if (time.textContent !== text) time.textContent = text;
    }
  }

  function same(a, b) {
    return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
  }

  // Makes `to` of `from` with as little change as possible: focus, selection and scrolling stay.
  function morph(from, to) {
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
    for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    children(from, to);
  }

  function children(from, to) {
    let here = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      if (here && !same(here, wanted)) {
        const found = wanted.id && [...from.children].find((child) => child.id === wanted.id);
        if (found) from.insertBefore(found, here), (here = found);
      }
      if (here && same(here, wanted)) {
        morph(here, wanted);
        here = here.nextSibling;
      } else {
        from.insertBefore(wanted, here);
      }
    }
    while (here) {
      const next = here.nextSibling;
      here.remove();
      here = next;
    }
  }

  function show(panels) {
    for (const [name, html] of Object.entries(panels)) {
      const place = $(`#${name}`);
      const made = document.createElement("template");
      made.innerHTML = html;
      localise(made.content);
      children(place, made.content);
      if (name === "overall") title();
    }
  }

  function title() {
    const mark = $("#overall .mark").textContent;
    document.title = `${mark} ${document.title.replace(/^[●▲■◇] /, "")}`;
  }

  // -- the stream ---------------------------------------------------------------------------------------------------

  function say(text, state) {
    if (live.textContent !== text) live.textContent = text;
    live.dataset.state = state;
  }

  let heard = new Date();
  let stream = null;
  let retry = 0;
  const uses = { panels: show, charts: (data) => window.charts.points(data), now: (data) => window.charts.now(data) };

  // A hidden tab holds no stream: a browser opens no more than six connections to a host over HTTP/1.1.
  function connect() {
    clearTimeout(retry);
    if (document.hidden || stream) return;
    const own = new EventSource(`stream?${document.body.dataset.query}`);
    for (const [name, use] of Object.entries(uses)) {
      own.addEventListener(name, (event) => {
        const data = JSON.parse(event.data);
        heard = new Date();
        if (held) return kept.set(name, name === "panels" ? { ...kept.get(name), ...data } : data);
        use(data);
        say("live", "live");
      });
    }
    own.onerror = () => {
      if (own !== stream) return;
      say(`figures of ${hour.format(heard)}; connecting…`, "lost");
      // The browser tries again by itself unless it was refused: too many pages, a proxy without a service, or no login.
      if (own.readyState !== EventSource.CLOSED) return;
      stream = null;
      retry = setTimeout(ask, 5000);
    };
    stream = own;
  }

  function disconnect() {
    clearTimeout(retry);
    if (stream) stream.close();
    stream = null;
    say(`hidden: figures of ${hour.format(heard)}`, "held");
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect); // a page that the browser keeps for going back holds none either
  addEventListener("pageshow", (event) => event.persisted && connect());

  async function ask() {
    const answer = await fetch("state.json", { method: "HEAD" }).catch(() => null);
    if (answer && answer.status === 401) say("logged out: reload the page", "lost");
    else connect();
  }

  connect();

  function hold() {
    held = !held;
    if (held) return say("held still: p goes on", "held");
    for (const [name, data] of kept) uses[name](data);
    kept.clear();
    say("live", "live");
  }

  // -- actions ------------------------------------------------------------------------------------------------------

  const dialog = $("#act");
  const form = $("form", dialog);
  const wrong = $(".wrong", dialog);
  const go = $("button.primary", dialog);
  const LIMIT = 15000; // milliseconds that an action may take
  let asked = null;
  let running = null;

  function tell(text) {
    const told = $("#told");
    told.textContent = text;
    told.hidden = false;
    clearTimeout(tell.timer);
    tell.timer = setTimeout(() => (told.hidden = true), 5000);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (!button) return;
    asked = { ...button.dataset };
    $("#act-title").textContent = asked.title;
    const fields = asked.fields.split(" ");
    for (const label of form.querySelectorAll("[data-field]")) {
      label.hidden = !fields.includes(label.dataset.field);
      $("input, select", label).disabled = label.hidden;
    }
    form.elements.by.value = localStorage.getItem("by") || "";
    wrong.hidden = true;
    busy(null);
    dialog.showModal();
  });

  function busy(action) {
    running = action;
    go.disabled = action !== null;
    go.textContent = action ? "Working…" : "Do it";
    form.setAttribute("aria-busy", String(action !== null));
  }

  // Escape and Cancel stop the action; nothing that is answered later concerns this dialog or another one.
  dialog.addEventListener("close", () => {
    if (running) running.abort();
    busy(null);
  });

  $("[data-cancel]", dialog).addEventListener("click", () => dialog.close());

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    const body = Object.fromEntries(new FormData(form));
    if (body.by) localStorage.setItem("by", body.by);
    for (const name of ["id", "path", "to"]) if (asked[name]) body[name] = asked[name];
    const action = new AbortController();
    let late = false;
    const limit = setTimeout(() => ((late = true), action.abort()), LIMIT);
    wrong.hidden = true;
    busy(action);
    let answer = null;
    let found = {};
    try {
      answer = await fetch(`actions/${asked.act}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-resilience-action": "1" },
        body: JSON.stringify(body),
        signal: action.signal,
      });
      found = await answer.json();
    } catch {
      // No answer, or one that is no JSON: told below.
    }
    clearTimeout(limit);
    if (running !== action) return;
    busy(null);
    if (answer && answer.ok) {
      dialog.close();
      tell(found.done || "Done.");
      return;
    }
    wrong.textContent = late
      ? `No answer within ${LIMIT / 1000} s. The action may have been done: look at the page before you try again.`
      : found.detail || "The service does not answer.";
    wrong.hidden = false;
  });

  // A notification links to the form that silences its alert.
  const wanted = location.hash.match(/^#silence-(alert-[0-9a-f]+)$/);
  if (wanted) $(`#${wanted[1]} [data-act="silence"]`)?.click();

  // -- keys and filters ---------------------------------------------------------------------------------------------

  const places = ["overall", "alerts", "slos", "chart-traffic", "policies", "health", "probes", "events"];
  const help = $("#help");
  $("#keys").hidden = false;
  $("#keys").addEventListener("click", () => help.showModal());

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog")) return;
    const place = $(`#${places[Number(event.key) - 1]}`);
    if (place) {
      place.focus({ preventScroll: true });
      place.scrollIntoView({ block: "start" });
    } else if (event.key === "/") {
      event.preventDefault();
      $("#service").focus();
    } else if (event.key === "p") hold();
    else if (event.key === "?") help.showModal();
  });

  $(".filter").addEventListener("change", (event) => event.currentTarget.requestSubmit());
  $(".filter button").hidden = true;

  localise(document);
  title();
})();
