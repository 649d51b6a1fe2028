"use strict";

// The operator console: one key, one decision. The server draws the first item; from then on
// each decision is one request, whose answer is the next item. Without this script the same
// page works through its forms.

const REQUEST_MS = 15000;
const POLL_MS = 4000;
const TOAST_MS = 2500;
const SLOW_MS = 800;
const RETRY_MS = 8000; // the longest wait before a decision is sent again
const BOUNCE_MS = 200; // the same key twice within this time is a slip of the finger

const byId = (id) => document.getElementById(id);
const review = byId("review");
const mat = document.querySelector(".mat");
const picture = byId("picture");
const choices = byId("choices");
const tags = [...choices.querySelectorAll(".tag")];
const toast = byId("toast");
const search = byId("search");
const query = byId("query");
const list = byId("types");
const types = [...list.children];
const keys = byId("keys");

let itemId = review.dataset.item ? Number(review.dataset.item) : null;
let leaseEnds = Date.now() + 1000 * Number(review.dataset.leaseSeconds);
let busy = false; // a request is under way
let hurry = null; // a decision waits to be sent again; calling this sends it now
let seen = false; // the picture stands on the screen, or cannot be shown at all
let lastKey = { key: "", at: 0 };
let toastTimer = 0;
let pollTimer = 0;

// Messages -----------------------------------------------------------------------------

function say(text, kind = "") {
  clearTimeout(toastTimer);
  toast.className = `toast ${kind}`;
  toast.textContent = text;
  if (kind !== "fault") toastTimer = setTimeout(() => (toast.textContent = ""), TOAST_MS);
}

// Talking to the server ----------------------------------------------------------------

/** Return {status, answer}; never returns where the operator has to log in or reload. */
async function call(path, body) {
  const options = {
    headers: { Accept: "application/json", "X-CSRF-Token": review.dataset.csrf },
    redirect: "error",
    signal: AbortSignal.timeout(REQUEST_MS),
  };
  if (body) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  if (response.status === 401) location.assign("/login");
  if (response.status === 403) location.reload();
  if (response.status === 401 || response.status === 403) await new Promise(() => {});
  if (response.status >= 500) throw new Error(`status ${response.status}`);
  return { status: response.status, answer: await response.json() };
}

/** Do something with the item; what could not be sent is kept and sent again until it is saved. */
async function act(action, body, button) {
  if (hurry) return hurry(); // a key while we wait to send again: send at once
  if (busy || itemId === null || (action === "decide" && !seen)) return;
  busy = true;
  review.setAttribute("aria-busy", "true");
  button?.classList.add("chosen");
  const slow = setTimeout(() => say("Saving…"), SLOW_MS);
  for (let failures = 0; ; failures++) {
    try {
      settle(await call(`/items/${itemId}/${action}`, body));
      break;
    } catch {
      clearTimeout(slow);
      say("Not saved yet — trying again…", "fault");
      await pause(Math.min(1000 * 2 ** failures, RETRY_MS));
    }
  }
  clearTimeout(slow);
  button?.classList.remove("chosen");
  review.removeAttribute("aria-busy");
  busy = false;
}

/** The server saves the same decision once, however often it arrives. */
function settle({ status, answer }) {
  if (status === 200 || answer.code === "review_conflict") {
    show(answer);
    say(answer.message, status === 200 ? "" : "notice");
  } else {
    say(`Not saved: ${answer.message}`, "fault");
  }
}

/** Wait; `hurry` ends it. */
async function pause(milliseconds) {
  await new Promise((resolve) => {
    hurry = resolve;
    setTimeout(resolve, milliseconds);
  });
  hurry = null;
}

/** Ask for the item that is ours now: a new one, or the one we hold. */
async function refresh() {
  if (busy || document.hidden) return;
  busy = true;
  try {
    const { answer } = await call("/");
    const lost = itemId !== null && answer.item?.id !== itemId;
    if (lost || itemId === null) show(answer);
    leaseEnds = Date.now() + 1000 * answer.lease_seconds;
    if (lost) say("Someone else took that picture over.", "notice");
    else if (toast.classList.contains("fault")) say("");
  } catch {
    say("The server does not answer; trying again…", "fault");
  }
  busy = false;
  poll();
}

function poll() {
  clearTimeout(pollTimer);
  if (itemId === null && !document.hidden) pollTimer = setTimeout(refresh, POLL_MS);
}

// Showing an item ----------------------------------------------------------------------

function show({ item, waiting, rest, lease_seconds: leaseSeconds }) {
  itemId = item ? item.id : null;
  leaseEnds = Date.now() + 1000 * leaseSeconds;
  byId("waiting").textContent = waiting;
  byId("rest").textContent = rest;
  byId("turn").hidden = !item;
  byId("done").hidden = Boolean(item);
  document.title = `${item ? "Review" : "All done"} · Hangtag`;
  if (item) fill(item);
  else poll();
}

function fill(item) {
  review.dataset.reason = item.reason;
  byId("why").textContent = item.why;
  byId("source").textContent = item.source;
  byId("external-id").textContent = item.external_id;
  byId("waited").textContent = item.waited;
  choices.setAttribute("action", `/items/${item.id}/decide`);
  byId("skip").setAttribute("formaction", `/items/${item.id}/skip`);
  tags.forEach((tag, place) => fillTag(tag, item.suggested[place]));
  seen = false;
  mat.classList.add("loading");
  byId("no-picture").hidden = true;
  picture.src = item.picture;
  scrollTo(0, 0);
}

function fillTag(tag, choice) {
  tag.parentElement.hidden = !choice;
  if (!choice) return;
  tag.value = choice.label;
  tag.querySelector(".name").textContent = choice.label;
  tag.querySelector(".percent").textContent = choice.percent;
  tag.querySelector("progress").value = choice.share;
}

function pictureSettled() {
  const failed = picture.naturalWidth === 0;
  mat.classList.toggle("loading", failed);
  byId("no-picture").hidden = !failed;
  seen = true;
}

// Another article type -----------------------------------------------------------------

const plain = (text) => text.toLowerCase().normalize("NFKD").replace(/[^\p{L}\p{N}]+/gu, "");

/** How well a name fits what was typed: 0 best, Infinity not at all; "t-shirt" fits "Tshirts". */
function rank(name, words) {
  const whole = plain(name);
  if (!words.every((word) => whole.includes(word))) return Infinity;
  if (whole.startsWith(words.join(""))) return 0;
  return name.split(/\s+/).some((part) => plain(part).startsWith(words[0])) ? 1 : 2;
}

function narrow() {
  const words = query.value.split(/\s+/).map(plain).filter(Boolean);
  const fitting = types
    .map((type) => ({ type, rank: words.length ? rank(type.textContent, words) : 0 }))
    .filter((entry) => entry.rank < Infinity)
    .sort((a, b) => a.rank - b.rank);
  list.replaceChildren(...fitting.map((entry) => entry.type));
  byId("no-type").hidden = fitting.length > 0;
  point(0);
}

function pointed() {
  return list.querySelector('[aria-selected="true"]');
}

function point(place) {
  pointed()?.setAttribute("aria-selected", "false");
  const type = list.children[Math.max(0, Math.min(place, list.children.length - 1))];
  type?.setAttribute("aria-selected", "true");
  type?.scrollIntoView({ block: "nearest" });
  if (type) query.setAttribute("aria-activedescendant", type.id);
  else query.removeAttribute("aria-activedescendant");
}

function openSearch() {
  if (busy || itemId === null) return;
  types.forEach((type) => type.setAttribute("aria-selected", "false"));
  query.value = "";
  narrow();
  search.showModal();
  list.scrollTop = 0;
  query.focus();
}

function choose(type) {
  if (!type) return;
  search.close();
  act("decide", { label: type.textContent }, byId("open-search"));
}

function searchKey(event) {
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
  if (event.isComposing) return;
  if (event.key in steps) point([...list.children].indexOf(pointed()) + steps[event.key]);
  else if (event.key === "Enter" && !event.repeat) choose(pointed());
  else if (event.key !== "Enter") return;
  event.preventDefault();
}

// Keys ---------------------------------------------------------------------------------

const shortcuts = {
  "/": openSearch,
  o: openSearch,
  n: () => press(byId("not-fashion")),
  s: () => press(byId("skip")),
  "?": () => keys.showModal(),
};

function press(button) {
  if (button.id === "skip") act("skip", {}, button);
  else if (button.id === "not-fashion") act("decide", { action: "not_fashion" }, button);
  else if (!button.parentElement.hidden) act("decide", { label: button.value }, button);
}

function bounced(event) {
  const soon = event.key === lastKey.key && event.timeStamp - lastKey.at < BOUNCE_MS;
  lastKey = { key: event.key, at: event.timeStamp };
  return soon;
}

function documentKey(event) {
  // Enter held down on a button would press it again and again.
  if (event.repeat && event.key === "Enter") event.preventDefault();
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (keys.open && event.key === "?") keys.close();
  else if (!keys.open && !search.open && !event.target.closest("input, select, textarea")) {
    const key = event.key.toLowerCase();
    const action = shortcuts[key] ?? (tags[key - 1] && (() => press(tags[key - 1])));
    if (!action) return;
    event.preventDefault();
    if (!bounced(event)) action();
  }
}

// Wiring -------------------------------------------------------------------------------

picture.addEventListener("load", pictureSettled);
picture.addEventListener("error", pictureSettled);
if (itemId !== null && picture.complete) pictureSettled();

choices.addEventListener("submit", (event) => {
  event.preventDefault();
  press(event.submitter);
});
document.addEventListener("keydown", documentKey);
query.addEventListener("keydown", searchKey);
query.addEventListener("input", narrow);
list.addEventListener("click", (event) => choose(event.target.closest("li")));
for (const sheet of [search, keys]) {
  sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
}
for (const [id, open] of [["open-search", openSearch], ["show-keys", shortcuts["?"]]]) {
  byId(id).hidden = false;
  byId(id).addEventListener("click", open);
}
addEventListener("online", () => hurry?.());
addEventListener("beforeunload", (event) => hurry && event.preventDefault());
document.addEventListener("visibilitychange", () => {
  if (itemId === null || Date.now() > leaseEnds) refresh();
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
if (toast.textContent) say(toast.textContent);
poll();
