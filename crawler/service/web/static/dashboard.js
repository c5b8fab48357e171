// Keeps a page of the dashboard up to date. Without it every page and every form works; one loads the page again.
//
// - The server is the only one that draws. An event of the stream marks parts of the page as stale; a stale part is
//   asked for again (?fragment=NAME), at most once a second, and only what differs is changed, so that focus, open
//   details and a click in progress stay where they are.
// - A hidden page asks for nothing and listens to nothing.
// - What is read aloud is one sentence a run, at once when its state changes, else four times a minute.
"use strict";

const TICK = 1000, CALM = 30000, SPEAK = 15000;
const parts = [...document.querySelectorAll("[data-fragment]")].map((element) => ({
  element, stale: false, busy: false, asked: performance.now(),
  events: new Set(element.dataset.on.split(" ")),
  every: 1000 * (element.dataset.every || 1),
}));
const connection = document.getElementById("connection");
const spoken = document.getElementById("spoken");
const told = new Map();
let stream = null;

/** Whether an event is about what a part shows. */
function concerns(part, type, data) {
  const { run, job } = part.element.dataset;
  if (!part.events.has(type)) return false;
  if (run && (data.run || data.id)) return [data.run, data.id].includes(run);
  return !job || !data.job || data.job === job;
}

/** Ask for the stale parts again. */
function refresh() {
  if (document.hidden) return;
  const now = performance.now();
  for (const part of parts) {
    const waited = now - part.asked;
    if (!part.busy && ((part.stale && waited > part.every - TICK / 2) || waited >= CALM)) load(part);
  }
  speak(now);
}

async function load(part) {
  part.busy = true;
  part.stale = false;
  const url = new URL(location.href);
  url.searchParams.set("fragment", part.element.dataset.fragment);
  url.hash = "";
  try {
    const answer = await fetch(url, { headers: { Accept: "text/html" } });
    if (answer.status === 401) location.reload();
    if (answer.ok) put(part.element, new DOMParser().parseFromString(await answer.text(), "text/html").body);
  } catch {
    part.stale = true; // the service is away; the stream says so
  }
  part.asked = performance.now();
  part.busy = false;
}

/** Show a part anew. Where the button that had the focus is gone, the focus goes to what it was in. */
function put(element, fresh) {
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  const around = [];
  for (let one = active; one && one !== element; one = one.parentElement) around.push(one.parentElement);
  change(element, fresh, false);
  if (!active || active.isConnected) return;
  const home = around.find((one) => one.isConnected);
  home.tabIndex = -1;
  home.focus();
}

/** Make one element like another of the same kind, with as few changes as possible. */
function change(old, fresh, itself = true) {
  if (itself) {
    for (const { name } of [...old.attributes]) {
      const ours = (name === "open" && old.localName === "details") || (name === "tabindex" && old === document.activeElement);
      if (!ours && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }
  const ids = new Set([...fresh.children].map((one) => one.id).filter(Boolean));
  for (const child of [...old.children]) if (child.id && !ids.has(child.id)) child.remove();
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const known = child.id && [...old.children].find((one) => one.id === child.id);
    if (known && known !== place) old.insertBefore(known, place);
    const here = known || place;
    if (!here) {
      old.append(child);
    } else if (!known && !alike(here, child)) {
      old.insertBefore(child, here);
      if (!here.id) here.remove();
      place = child.nextSibling;
    } else {
      if (child.nodeType !== Node.ELEMENT_NODE) {
        if (here.data !== child.data) here.data = child.data;
      } else if (!here.isEqualNode(child)) {
        change(here, child);
      }
      place = here.nextSibling;
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

/** Whether a node can become the other by changes. */
function alike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id || "") === (other.id || "");
}

/** Say what has changed, for those who listen: one sentence at a time. */
function speak(now) {
  const lines = new Map([...document.querySelectorAll("[data-say]")].map((line) => [line.dataset.say, line]));
  for (const [run, before] of told) {
    if (!lines.has(run)) {
      told.delete(run);
      spoken.textContent = `${before.name} runs no longer.`;
      return;
    }
  }
  for (const [run, line] of lines) {
    const before = told.get(run), { state, name } = line.dataset, text = line.textContent.trim();
    const due = before && (before.state !== state || (before.text !== text && now - before.at >= SPEAK));
    if (!before || due) told.set(run, { state, name, text, at: now });
    if (due) {
      spoken.textContent = text;
      return;
    }
  }
}

/** Follow the stream of events. Browsers keep six connections to a host, so a hidden page lets its one go. */
function listen() {
  if (stream || document.hidden) return;
  stream = new EventSource("/api/v1/events");
  for (const type of ["run", "progress", "schedule", "tick", "job", "disk", "notice"]) {
    stream.addEventListener(type, (event) => {
      const { data } = JSON.parse(event.data);
      for (const part of parts) if (concerns(part, type, data)) part.stale = true;
    });
  }
  stream.addEventListener("reset", mark);
  stream.addEventListener("open", () => { show("This page updates itself.", false); mark(); });
  stream.addEventListener("error", () => {
    show("The service does not answer. The numbers are those of before.", true);
    if (stream && stream.readyState === EventSource.CLOSED) {
      stream = null;
      setTimeout(listen, 5000);
    }
  });
}

/** All parts are stale. */
function mark() {
  for (const part of parts) part.stale = true;
}

function look() {
  if (document.hidden) {
    if (stream) stream.close();
    stream = null;
  } else {
    listen();
    mark();
    refresh();
  }
}

function show(text, lost) {
  connection.hidden = false;
  connection.classList.toggle("lost", lost);
  if (connection.textContent !== text) connection.textContent = text;
}

/** A button that stays on its page: send its form, then ask for all parts. A refusal is shown as it is without script. */
async function send(event) {
  const form = event.target;
  const stays = form.classList.contains("quick") && parts.some((part) => part.element.contains(form));
  if (!stays || !form.elements.next) return;
  event.preventDefault();
  const button = form.querySelector("button");
  button.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, {
      method: "POST", redirect: "manual", body: new URLSearchParams(new FormData(form)),
    });
    if (answer.type !== "opaqueredirect") {
      form.submit(); // again, but as a page that says why
      return;
    }
    parts.forEach((part) => { part.stale = true; part.asked = -Infinity; });
    refresh();
  } catch {
    show("The service does not answer. Nothing was changed.", true);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

if (parts.length) {
  listen();
  setInterval(refresh, TICK);
  document.addEventListener("visibilitychange", look);
  document.addEventListener("submit", send);
}
