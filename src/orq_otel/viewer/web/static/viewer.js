// The pages are whole without this. It keeps them up to date while spans arrive, shows times as
// this place has them, follows filters without leaving the page, and opens spans that links name.

const INTERVAL = 2000; // between two questions whether anything has changed, in milliseconds
const QUIET = 10000; // between two announcements to screen readers

const main = document.getElementById("main");

// ---- Times -------------------------------------------------------------------------------------

const formats = {
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  short: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  full: {
    month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23",
  },
  exact: { dateStyle: "full", timeStyle: "long" },
};
const formatters = Object.fromEntries(
  Object.entries(formats).map(([name, options]) => [name, new Intl.DateTimeFormat("en-GB", options)]),
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

// Makes the children of `from` those of `to`. What stays the same stays the same element: focus,
// selection, scroll positions, and what was opened are kept.
function morph(from, to, changesInputs) {
  const byId = new Map();
  for (const child of from.children) if (child.id) byId.set(child.id, child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    let found = null;
    if (wanted.id) found = byId.get(wanted.id) ?? null;
    else if (at && !at.id && at.nodeType === wanted.nodeType && at.nodeName === wanted.nodeName) found = at;
    if (found === null) {
      const made = document.importNode(wanted, true);
      if (made.nodeName === "TR") made.classList.add("fresh");
      from.insertBefore(made, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else from.insertBefore(found, at);
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
  const isDetails = from.nodeName === "DETAILS";
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(isDetails && name === "open")) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (isDetails && name === "open") continue; // that is the reader's
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
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

async function fetched(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" }, cache: "no-store" });
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

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

async function look() {
  const began = performance.now();
  const mine = navigation;
  try {
    const response = await fetch("/changes", { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const { change } = await response.json();
    if (isLive && mine === navigation && String(change) !== document.body.dataset.change) {
      const page = await fetched(location.href);
      if (isLive && mine === navigation && page.body.dataset.change) {
        show(page, false);
        announce();
      }
    }
    // A slow server is asked less often.
    wait = Math.max(INTERVAL, 10 * (performance.now() - began));
    if (isLive) setLabel("Live");
  } catch {
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
  if (form) form.requestSubmit();
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
  if (location.pathname === "/" && path === "/" && main.querySelector(".overview")) go(location.href, false);
});

// ---- Small things ------------------------------------------------------------------------------

// A link to a span opens it, wherever it is.
function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.nodeName !== "DETAILS") return;
  target.open = true;
  target.scrollIntoView({ block: "nearest" });
  target.querySelector("summary")?.focus({ preventScroll: true });
}
addEventListener("hashchange", open);

// Escape closes what lies above the page, and so does a click beside it.
function closeOthers(except) {
  for (const one of main.querySelectorAll(".exact[open], .more-tags[open]")) {
    if (!one.contains(except)) one.open = false;
  }
}
document.addEventListener("click", (event) => closeOthers(event.target));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const opened = event.target.closest?.(".exact[open], .more-tags[open]");
  if (opened) {
    opened.open = false;
    opened.querySelector("summary").focus();
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
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    theme.setAttribute("aria-pressed", String(chosen === "dark"));
    try {
      localStorage.setItem("orq-otel-theme", chosen);
    } catch {
      // It holds for this page alone.
    }
  });
}

localise(document);
open();
