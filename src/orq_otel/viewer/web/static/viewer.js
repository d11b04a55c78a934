// The pages are whole without this. It keeps them up to date while spans arrive, shows times in the
// browser's zone or in UTC, follows filters without leaving the page, and opens what links name.

const INTERVAL = 2000; // between two questions whether anything has changed, in milliseconds
const QUIET = 10000; // between two announcements to screen readers

const main = document.getElementById("main");

// ---- Times -------------------------------------------------------------------------------------

const UTC = "UTC";
const ZONE_COOKIE = "orq_otel_zone";
const A_YEAR = 31536000; // in seconds
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
const isNamed = new URLSearchParams(location.search).has("tz"); // the address decides
const keptZone = () => {
  const kept = document.cookie.split("; ").find((one) => one.startsWith(`${ZONE_COOKIE}=`));
  return kept ? kept.slice(ZONE_COOKIE.length + 1) : null;
};
const chosen = keptZone();
// Whoever has chosen UTC keeps it. Everybody else has the zone of this place, also after a journey.
const zone = isNamed ? document.documentElement.dataset.zone : chosen === UTC ? UTC : here;

function keepZone(name) {
  document.cookie = `${ZONE_COOKIE}=${name}; path=/; max-age=${A_YEAR}; SameSite=Strict`;
}

const formats = {
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  short: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  full: {
    month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23",
  },
  dated: {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
    second: "2-digit", hourCycle: "h23",
  },
  "short-dated": {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  },
  day: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
  exact: { dateStyle: "full", timeStyle: "long" },
};
const formatters = Object.fromEntries(
  Object.entries(formats).map(([name, options]) => [
    name, new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }),
  ]),
);

function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const time = new Date(element.getAttribute("datetime"));
    if (Number.isNaN(time.getTime())) continue;
    const show = formatters[element.dataset.show] ?? formatters.full;
    element.textContent = show.format(time);
    element.title = formatters.exact.format(time);
  }
}

// ---- Bring what is shown up to date, and keep what the reader is doing -------------------------

// What an element is known by. Turns have numbers, which change when an earlier one arrives late.
const keyOf = (one) => one.dataset?.key ?? one.id;

// Makes the children of `from` those of `to`. What stays the same stays the same element: focus,
// selection, scroll positions, and what was opened are kept.
function morph(from, to, changesInputs) {
  const byKey = new Map();
  for (const child of from.children) if (keyOf(child)) byKey.set(keyOf(child), child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    let found = null;
    if (keyOf(wanted)) found = byKey.get(keyOf(wanted)) ?? null;
    else if (at && !keyOf(at) && at.nodeType === wanted.nodeType && at.nodeName === wanted.nodeName) found = at;
    if (found === null) {
      const made = document.importNode(wanted, true);
      if (made.nodeName === "TR" && !changesInputs) made.classList.add("fresh"); // it has arrived
      from.insertBefore(made, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else from.insertBefore(found, at);
    if (found.dataset?.loaded) continue; // it was asked for when the reader opened it
    if (found.nodeName === "DIALOG" && found.open) continue; // the reader is being asked
    if (found.nodeType === Node.ELEMENT_NODE) {
      copyAttributes(found, wanted, changesInputs);
      morph(found, wanted, changesInputs);
    } else if (found.data !== wanted.data) found.data = wanted.data;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function copyAttributes(from, to, changesInputs) {
  // What the reader opened, and what these scripts have set.
  const isKept = (name) => name === "tabindex" || (name === "open" && from.nodeName === "DETAILS");
  const isRight = from.classList.contains("from-right");
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !isKept(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (!isKept(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  if (isRight) from.classList.add("from-right");
  if (!changesInputs || from === document.activeElement) return;
  if (from.nodeName === "INPUT") {
    if (from.type === "checkbox") from.checked = to.checked;
    else from.value = to.value;
  } else if (from.nodeName === "OPTION") from.selected = to.selected;
}

function show(page, changesInputs) {
  const wanted = page.getElementById("main");
  if (!wanted) return;
  localise(wanted);
  const { activeElement } = document;
  const selection = document.getSelection();
  const { anchorNode, anchorOffset, focusNode, focusOffset, isCollapsed } = selection;
  morph(main, wanted, changesInputs);
  morph(document.getElementById("skips"), page.getElementById("skips"), false);
  offer();
  if (activeElement !== document.activeElement && activeElement?.isConnected) {
    activeElement.focus({ preventScroll: true });
  }
  const isLost = !isCollapsed && selection.isCollapsed;
  if (isLost && anchorNode?.isConnected && focusNode?.isConnected) {
    const within = (node, offset) => Math.min(offset, node.data?.length ?? node.childNodes.length);
    selection.setBaseAndExtent(
      anchorNode, within(anchorNode, anchorOffset), focusNode, within(focusNode, focusOffset),
    );
  }
  if (page.title !== document.title) document.title = page.title;
  document.body.dataset.change = page.body.dataset.change ?? "";
}

class GoneError extends Error {}

async function fetched(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (response.status === 404 && main.querySelector(".thread")) throw new GoneError();
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

// Nothing moves under a pressed button: what is let go of elsewhere is no click.
let released = Promise.resolve();
let release = () => {};
addEventListener("pointerdown", () => {
  release();
  released = new Promise((resolve) => {
    release = resolve;
  });
}, true);
for (const name of ["pointerup", "pointercancel", "blur"]) addEventListener(name, () => setTimeout(release));

// ---- Live --------------------------------------------------------------------------------------

const button = document.getElementById("live");
const announcer = document.getElementById("announce");
let isLive = true;
let wait = INTERVAL;
let announced = { text: null, at: 0 };
let navigation = 0; // the latest that the reader asked for: older answers are dropped

function told() {
  return main.querySelector("[data-announce]")?.textContent ?? "";
}

function announce() {
  const text = told();
  if (text === announced.text || Date.now() - announced.at < QUIET) return;
  announced = { text, at: Date.now() };
  announcer.textContent = text;
}

function setLabel(text, isLost = false) {
  const label = button.querySelector(".label");
  if (label.textContent !== text) label.textContent = text;
  button.classList.toggle("lost", isLost);
}

// The part of a long thread that is shown is shown on, also when the next one begins.
function shownNow() {
  const url = new URL(location.href);
  const { part, after } = main.querySelector("[data-part]")?.dataset ?? {};
  if (part && !url.searchParams.has("page") && !url.searchParams.has("with")) url.searchParams.set("page", part);
  if (after) url.searchParams.set("after", after);
  return url;
}

// What was deleted while somebody read it stays there to be read.
function sayGone() {
  isLive = false;
  button.hidden = true;
  const note = document.createElement("p");
  note.className = "note";
  note.id = "gone";
  note.textContent = "This thread is gone: it was deleted, or kept for no longer. This is what it was.";
  main.prepend(note);
  announcer.textContent = note.textContent;
}

async function look() {
  // Another one was chosen in another tab. The server writes days and filters in it.
  if (!isNamed && (keptZone() ?? zone) !== zone) {
    location.reload();
    return;
  }
  const began = performance.now();
  const mine = navigation;
  try {
    const response = await fetch("/changes", { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const { change } = await response.json();
    if (isLive && mine === navigation && String(change) !== document.body.dataset.change) {
      const page = await fetched(shownNow());
      await released;
      if (isLive && mine === navigation && page.body.dataset.change) {
        show(page, false);
        announce();
      }
    }
    // A slow server is asked less often.
    wait = Math.max(INTERVAL, 10 * (performance.now() - began));
    if (isLive) setLabel("Live");
  } catch (error) {
    if (error instanceof GoneError) {
      sayGone();
      return;
    }
    wait = Math.min(wait * 2, 30000);
    if (isLive) setLabel("No connection", true);
  }
}

async function keepLooking() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (isLive && !document.hidden) await look();
  }
}

if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    isLive = !isLive;
    button.setAttribute("aria-pressed", String(isLive));
    setLabel(isLive ? "Live" : "Paused");
    if (isLive) look();
  });
  document.addEventListener("visibilitychange", () => {
    if (isLive && !document.hidden) look();
  });
  announced.text = told();
  keepLooking();
}

// ---- Filters, sorting and paging without leaving the page --------------------------------------

async function go(url, isNew) {
  const mine = ++navigation;
  try {
    const page = await fetched(url);
    await released;
    if (mine !== navigation) return;
    if (isNew) history.pushState(null, "", url);
    show(page, true);
    announced.at = 0;
    announce();
  } catch {
    location.assign(url);
  }
}

function address(form) {
  const given = [...new FormData(form)].filter(([name, value]) =>
    value !== "" && !(name === "sort" && value === "last_active")
    && !(name === "order" && value === "desc") && !(name === "match" && value === "all"));
  const query = new URLSearchParams(given).toString();
  return query ? `/?${query}` : "/";
}

document.addEventListener("submit", (event) => {
  if (event.target.id !== "filters") return;
  event.preventDefault();
  go(address(event.target), true);
});
document.addEventListener("change", (event) => {
  const form = event.target.closest("#filters");
  if (!form) return;
  // A period and an exact beginning exclude each other: the one that was chosen last holds.
  const { since, from, to } = form.elements;
  if (event.target === since) from.value = to.value = "";
  if (event.target === from) since.value = "";
  form.requestSubmit();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-soft]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const isPage = link.closest(".pager") !== null;
  go(link.href, true).then(() => {
    if (isPage) document.getElementById("found")?.scrollIntoView();
  });
});
let path = location.pathname;
addEventListener("popstate", () => {
  if (location.pathname !== "/" || path !== "/") return;
  if (main.querySelector(".overview")) go(location.href, false);
  else location.reload(); // what came instead of the list was an explanation
});

// ---- Small things ------------------------------------------------------------------------------

// What a search found may be folded beside the answer that it belongs to.
function foundBeside(target) {
  const parameters = new URLSearchParams(location.search);
  const [word] = new URLSearchParams(parameters.get("list") ?? "").get("q")?.toLowerCase().match(/[^\s"]+/) ?? [];
  const turn = parameters.has("with") && word ? target.closest(".turn") : null;
  if (!turn || target.textContent.toLowerCase().includes(word)) return target;
  const texts = document.createTreeWalker(turn, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (data.toLowerCase().includes(word)) return parentElement.closest(".message, details") ?? target;
  }
  return target;
}

// A link to something opens it, and whatever it is folded in. What is not said is in the timeline.
function open() {
  const name = decodeURIComponent(location.hash.slice(1));
  const named = document.getElementById(name) ?? document.getElementById(name.replace(/^e-/, "s-"));
  if (!named) return;
  const target = foundBeside(named);
  for (let one = target; one; one = one.parentElement) if (one.nodeName === "DETAILS") one.open = true;
  target.scrollIntoView({ block: "nearest" });
  const focused = { DETAILS: "summary", TR: "a" }[target.nodeName] ? target.querySelector("summary, a") : target;
  if (focused === target) target.tabIndex = -1;
  // Whoever was quick is inside of it already.
  if (!target.contains(document.activeElement)) focused?.focus({ preventScroll: true });
}
addEventListener("hashchange", open);
// A link to where the page is already changes no hash.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href*='#']");
  if (link && link.hash && link.href === location.href) open();
});

// Escape closes what lies above the page, and so does a click beside it.
const ABOVE = ".exact[open], .more-tags[open], .menu[open]";
function closeOthers(except) {
  for (const one of main.querySelectorAll(ABOVE)) if (!one.contains(except)) one.open = false;
}
document.addEventListener("click", ({ target }) => closeOthers(target.closest(".contents a") ? null : target));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const opened = event.target.closest?.(ABOVE);
  if (opened) {
    opened.open = false;
    opened.querySelector("summary").focus();
  }
});
// What would leave the window to the right is aligned to the right. Rows of the timeline are filled
// when they are opened: with all of them, a page would be ten times as large.
document.addEventListener("toggle", (event) => {
  const { target } = event;
  if (!target.open) return;
  const above = target.querySelector(":scope > .pop");
  if (above) {
    above.classList.remove("from-right");
    above.classList.toggle("from-right", above.getBoundingClientRect().right > innerWidth - 8);
  }
  if (target.classList.contains("row")) fill(target.querySelector(".row-body"));
}, true);

async function fill(body) {
  if (body.dataset.loaded) return;
  body.dataset.loaded = "true";
  try {
    const more = (await fetched(`${body.querySelector("a.all").href}&part=row`)).querySelector(".row-more");
    if (!more) throw new Error("not found");
    localise(more);
    await released;
    body.append(document.importNode(more, true)); // below the links, which stay where they are
  } catch {
    delete body.dataset.loaded; // the link beside it leads there, too
  }
}

// ---- Copying -----------------------------------------------------------------------------------

function copied(button) {
  const what = button.dataset.copy;
  if (what === "message") return said(button.closest(".message"));
  if (what === "id") return button.previousElementSibling.textContent;
  if (what) return what;
  const tree = button.parentElement.querySelector(".tree");
  return tree ? indented(tree) : button.parentElement.querySelector("pre").textContent;
}

// All of a message, without buttons. What is folded has no text to browsers.
function said(message) {
  const folded = [...message.querySelectorAll(":scope > .rest:not([open])")];
  message.classList.add("copying");
  for (const one of folded) one.open = true;
  const texts = [...message.querySelectorAll(":scope > .prose, :scope > .rest > .prose")].map((one) => {
    return one.querySelector(":scope > .json") ? indented(one) : one.innerText.trim();
  });
  for (const one of folded) one.open = false;
  message.classList.remove("copying");
  return texts.join("\n\n");
}

// JSON from its tree. It is not parsed, since numbers would lose what JavaScript's do not have.
function indented(tree) {
  const bare = tree.cloneNode(true);
  for (const one of bare.querySelectorAll(".folded")) one.remove();
  const signs = bare.textContent.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g) ?? [];
  let text = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  signs.forEach((sign, at) => {
    const isEmpty = "{[".includes(signs[at - 1]);
    if ("}]".includes(sign)) depth--;
    if (("}]".includes(sign) && !isEmpty) || (isEmpty && !"}]".includes(sign)) || signs[at - 1] === ",") text += line();
    text += sign === ":" ? ": " : sign;
    if ("{[".includes(sign)) depth++;
  });
  return text;
}

async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers offer that to pages of this machine and with TLS alone.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

document.addEventListener("click", async (event) => {
  const one = event.target.closest("button.copy");
  if (!one) return;
  event.preventDefault();
  await put(copied(one));
  one.textContent = "Copied";
  announcer.textContent = "Copied";
  setTimeout(() => {
    one.textContent = "Copy";
  }, 1500);
});

// ---- A thread ----------------------------------------------------------------------------------

// Whatever is folded is printed, too.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...main.querySelectorAll(".said details:not([open]):not(.cost)")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of folded) one.open = false;
});

const WIDE = "orq-otel-wide-timeline";
function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It holds for this page alone.
  }
}

function widen(isWide) {
  main.classList.toggle("wide-timeline", isWide);
  const one = document.getElementById("widen");
  if (!one) return;
  one.hidden = false;
  one.setAttribute("aria-pressed", String(isWide));
}

// Buttons that need this script are hidden without it, and after each change of the page.
function offer() {
  widen(remembered(WIDE) === "true");
  const one = document.getElementById("delete");
  if (one) one.hidden = false;
}

document.addEventListener("click", async (event) => {
  const one = event.target.closest("button");
  if (one?.id === "widen") {
    const isWide = one.getAttribute("aria-pressed") !== "true";
    remember(WIDE, String(isWide));
    widen(isWide);
  } else if (one?.id === "delete") {
    document.getElementById("confirm").showModal();
  } else if (one?.id === "really-delete") {
    const problem = document.querySelector("#confirm .problem-text");
    try {
      const response = await fetch(one.dataset.api, { method: "DELETE" });
      if (!response.ok && response.status !== 404) throw new Error((await response.json()).error.message);
      location.assign("/");
    } catch (error) {
      problem.textContent = `It is still there: ${error.message}`;
    }
  }
});

const theme = document.getElementById("theme");
if (theme) {
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  theme.hidden = false;
  theme.setAttribute("aria-pressed", String(isDark()));
  theme.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark"; // and no longer the system's
    document.documentElement.dataset.theme = chosen;
    theme.setAttribute("aria-pressed", String(chosen === "dark"));
    remember("orq-otel-theme", chosen);
  });
}

const switcher = document.getElementById("zone");
switcher.hidden = false;
const slash = zone.lastIndexOf("/") + 1;
const continent = document.createElement("span");
continent.className = "continent"; // there is no room for it on a phone
continent.textContent = zone.slice(0, slash);
switcher.lastChild.replaceChildren(continent, zone.slice(slash).replaceAll("_", " "));
switcher.addEventListener("click", () => {
  keepZone(zone === UTC ? here : UTC);
  const url = new URL(location.href);
  url.searchParams.delete("tz");
  location.assign(url);
  if (url.hash) location.reload();
});
if (!isNamed && chosen !== zone && (chosen || zone !== document.documentElement.dataset.zone)) keepZone(zone);

main.dataset.zone = zone; // for the printer
localise(document);
offer();
for (const one of main.querySelectorAll(".row[open] > .row-body")) fill(one); // opened before this came
// The server learns the zone with the first page, and writes days and filters in it from then on.
if (zone !== document.documentElement.dataset.zone) go(location.href, false);
if (location.hash) {
  open();
  // The browser takes the focus away from what is beside the element that the address names.
  addEventListener("load", () => setTimeout(() => {
    if (document.activeElement === document.body) open();
  }));
}
// A long conversation begins with its end.
else if (main.querySelector("[data-at-end]")) document.getElementById("latest").scrollIntoView();
