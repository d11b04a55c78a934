// Where a field offers tags, users, models... this asks for those that contain what was typed: there
// may be thousands, and the page has the most frequent.

const DELAY = 150; // after the last key, in milliseconds

let waiting = 0;

async function offer(input) {
  const list = input.list;
  const wanted = input.value;
  try {
    const query = new URLSearchParams({ kind: list.dataset.kind, q: wanted, limit: "50" });
    const response = await fetch(`/api/labels?${query}`);
    if (!response.ok || input.value !== wanted) return;
    const { labels } = await response.json();
    list.replaceChildren(...labels.map(({ name, threads }) => {
      const option = document.createElement("option");
      option.value = name;
      option.label = `${name} (${threads})`;
      return option;
    }));
  } catch {
    // The most frequent ones stay.
  }
}

document.addEventListener("input", (event) => {
  if (!event.target.list?.dataset.kind) return;
  clearTimeout(waiting);
  waiting = setTimeout(offer, DELAY, event.target);
});

// What was chosen stands among the filters that are set, so that the field is free for another one.
// The form is sent before that, also by a key that sends it once more.
document.addEventListener("change", ({ target }) => {
  if (target.list?.dataset.kind && target.closest("#filters")) setTimeout(() => { target.value = ""; });
});
