// Keys, and the palette: search threads and name commands from anywhere.

const TYPING = "input, textarea, select, [contenteditable]";
const SWITCH = "orq-otel-keys";
const STOPS = ".threads .title, .turn > .message:not(.system), .turn > .steps > summary";
const LISTED = 8;
const PAUSE = 150; // after the last letter, before threads are searched, in milliseconds

const palette = document.getElementById("palette");
const text = document.getElementById("palette-text");
const list = document.getElementById("palette-list");
const help = document.getElementById("help");
const isApple = /Mac|iPhone|iPad/.test(navigator.platform);

// ---- Moving ------------------------------------------------------------------------------------

function move(by) {
  const stops = [...document.querySelectorAll(STOPS)].filter((one) => one.checkVisibility());
  const at = stops.findIndex((one) => one.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? first(stops) : stops.length - 1) : at + by;
  const one = stops[Math.min(Math.max(next, 0), stops.length - 1)];
  if (!one) return;
  if (!one.matches("a, summary")) one.tabIndex = -1;
  one.focus({ preventScroll: true });
  one.scrollIntoView({ block: "nearest", behavior: "instant" });
}

// The first that is not above the window.
function first(stops) {
  const found = stops.findIndex((one) => one.getBoundingClientRect().bottom > 64);
  return found < 0 ? stops.length - 1 : found;
}

function follow(id) {
  document.getElementById(id)?.click();
}

function toList() {
  const listed = new URLSearchParams(location.search).get("list");
  if (listed) location.assign(`/?${listed}`);
  else document.querySelector(".brand").click();
}

function latest() {
  const link = document.querySelector(".to-latest");
  if (link) link.click();
  else document.getElementById("latest")?.scrollIntoView();
}

function contents() {
  const menu = document.getElementById("contents");
  if (!menu) return;
  menu.open = true;
  menu.querySelector("a").focus();
}

function search() {
  const field = document.getElementById("q");
  if (field) field.focus();
  else openPalette();
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  n: () => follow("next-thread"),
  p: () => follow("previous-thread"),
  u: toList,
  G: latest,
  t: contents,
  "/": search,
  "?": () => help.showModal(),
};

const toggle = document.getElementById("single-keys");
try {
  toggle.checked = localStorage.getItem(SWITCH) !== "off";
} catch {
  // Without storage they are on.
}
toggle.addEventListener("change", () => {
  try {
    localStorage.setItem(SWITCH, toggle.checked ? "on" : "off");
  } catch {
    // It holds for this page alone.
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey) {
    event.preventDefault();
    if (palette.open) palette.close();
    else openPalette();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (!toggle.checked || event.target.closest?.(TYPING) || document.querySelector("dialog[open]")) return;
  const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (!act) return;
  event.preventDefault();
  act();
});

// In a menu, arrows go from line to line.
document.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const menu = event.target.closest?.(".menu[open]");
  if (!by || !menu) return;
  event.preventDefault();
  const links = [...menu.querySelectorAll("a")];
  const at = links.indexOf(document.activeElement);
  links[Math.min(Math.max(at + by, 0), links.length - 1)].focus();
});

// ---- The palette -------------------------------------------------------------------------------

let asked = 0;
let waiting = 0;
let chosen = 0;
let isOld = false; // what is listed was found for another text than the field has
let isWanted = false; // Enter was pressed before anything was found

function commands() {
  const found = [];
  const offer = (name, one) => {
    if (one && !one.hidden) found.push({ name, act: () => one.click() });
  };
  offer("Next thread", document.getElementById("next-thread"));
  offer("Previous thread", document.getElementById("previous-thread"));
  offer("Jump to the latest", document.querySelector(".to-latest"));
  for (const one of document.querySelectorAll("#export a")) offer(`Export as ${one.textContent}`, one);
  offer("Delete this thread", document.getElementById("delete"));
  offer("All threads", document.querySelector(".brand"));
  offer("Numbers", document.querySelector(".nav"));
  offer("Switch the time zone", document.getElementById("zone"));
  offer("Switch the theme", document.getElementById("theme"));
  offer("Pause, or follow what arrives", document.getElementById("live"));
  offer("Questions of this conversation", document.querySelector("#contents summary"));
  found.push({ name: "Keys", act: () => help.showModal() });
  return found;
}

// What was asked in this conversation.
function questions() {
  return [...document.querySelectorAll("#contents a")].map((one) => ({
    name: one.querySelector(".asked").textContent,
    more: `question ${one.querySelector(".number").textContent}`,
    act: () => one.click(),
  }));
}

function draw(options) {
  list.replaceChildren(...options.map((option, number) => {
    const one = document.createElement("li");
    one.id = `palette-${number}`;
    one.role = "option";
    const name = document.createElement("span");
    name.dir = "auto";
    name.textContent = option.name;
    one.append(name);
    if (option.more) {
      const more = document.createElement("bdi");
      more.className = "id";
      more.textContent = option.more;
      one.append(more);
    }
    one.addEventListener("click", () => run(option));
    return one;
  }));
  list.options = options;
  choose(0);
}

function choose(number) {
  const count = list.children.length;
  chosen = count ? (number + count) % count : 0;
  [...list.children].forEach((one, at) => one.setAttribute("aria-selected", String(at === chosen)));
  if (count) text.setAttribute("aria-activedescendant", `palette-${chosen}`);
  else text.removeAttribute("aria-activedescendant");
  list.children[chosen]?.scrollIntoView({ block: "nearest" });
}

function run(option) {
  palette.close();
  option?.act();
}

function address(id) {
  return id === "." || id === ".." ? `/threads/?id=${id}` : `/threads/${encodeURIComponent(id)}`;
}

async function find() {
  const mine = ++asked;
  const words = text.value.trim();
  const matches = ({ name }) => name.toLowerCase().includes(words.toLowerCase());
  if (!words) {
    found(commands());
    return;
  }
  let threads = [];
  try {
    const query = new URLSearchParams({ q: words, limit: LISTED });
    const response = await fetch(`/api/threads?${query}`);
    if (response.ok) ({ threads } = await response.json());
  } catch {
    // The commands are there.
  }
  if (mine !== asked) return;
  found([
    ...questions().filter(matches),
    ...threads.map(({ id, short_id: short, title }) => ({
      name: title || id, more: title ? id : "", act: () => location.assign(address(short ?? id)),
    })),
    ...commands().filter(matches),
  ]);
}

function found(options) {
  isOld = false;
  draw(options);
  if (isWanted && palette.open) run(options[0]);
}

function openPalette() {
  text.value = "";
  isWanted = false;
  palette.showModal();
  find();
}

text.addEventListener("input", () => {
  asked++; // what is on its way was asked for another text
  isOld = true;
  isWanted = false;
  clearTimeout(waiting);
  waiting = setTimeout(find, PAUSE);
});
text.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by) {
    event.preventDefault();
    choose(chosen + by);
  } else if (event.key === "Enter") {
    event.preventDefault();
    if (isOld) isWanted = true;
    else run(list.options?.[chosen]);
  }
});
palette.addEventListener("click", (event) => {
  if (event.target === palette) palette.close();
});

const button = document.getElementById("palette-open");
button.hidden = false;
button.title = isApple ? "Search and commands (⌘K)" : "Search and commands (Ctrl K)";
button.addEventListener("click", openPalette);
