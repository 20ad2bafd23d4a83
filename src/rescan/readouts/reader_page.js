// Sliders over pictures, a filter, and keys from image to image; volumes are drawn when they are near.
const cards = all(".card"), rows = all("#table tbody tr"), filter = document.querySelector("#filter");
for (const part of all(".tools, .keys, .controls")) part.hidden = false;

const show = (card) => {
  const [choice, opacity] = card.querySelectorAll(".controls select, .controls input");
  all(".map", card).forEach((map, number) => {
    map.hidden = number !== +choice.value;
    map.style.opacity = opacity.value / 100;
  });
  card.querySelector(".controls output").textContent = `${opacity.value} %`;
};
document.addEventListener("input", (event) => {
  const controls = event.target.closest(".controls");
  if (controls) show(controls.closest(".card"));
});

const draw = (browser) => {
  if (!browser.hidden) return;
  browser.hidden = false;
  browse(browser);
};
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    all(".browser", entry.target).forEach(draw);
  }
}, { rootMargin: "800px" });
cards.filter((card) => card.querySelector(".browser")).forEach((card) => near.observe(card));
addEventListener("beforeprint", () => all(".browser").forEach(draw));

const count = () => {
  const kept = rows.filter((row) => !row.hidden).length;
  document.querySelector("#found").textContent = filter.value ? `${kept} of ${rows.length}` : "";
};
filter.addEventListener("change", () => {
  for (const part of [...rows, ...cards]) part.hidden = filter.value !== "" && !JSON.parse(part.dataset.kinds).includes(filter.value);
  count();
});

// The card that keys act on: the one that has the focus, else the first that is in view.
const current = () => document.activeElement?.closest(".card") ?? null;
const go = (step) => {
  const open = cards.filter((card) => !card.hidden), here = current();
  const inView = open.findIndex((card) => card.getBoundingClientRect().bottom > 80);
  const to = here ? open.indexOf(here) + step : Math.max(0, inView);
  if (!open[to]) return;
  open[to].focus({ preventScroll: true });
  open[to].scrollIntoView({ block: "start" });
  requestAnimationFrame(() => open[to].scrollIntoView({ block: "start" }));  // cards on the way have now their sizes
};
const slide = (input, by) => {
  input.value = +input.value + by;
  input.dispatchEvent(new Event("input", { bubbles: true }));
};
let last = 55;
const toggle = (card) => {
  for (const input of all('input[id^="opacity"], input[id$="-opacity"]', card)) {
    if (+input.value) last = +input.value;
    slide(input, +input.value ? -input.value : last);
  }
};
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea, button") || event.ctrlKey || event.metaKey || event.altKey) return;
  const card = current(), slices = card?.querySelector('input[id$="-slice"]');
  const actions = {
    ArrowRight: () => go(1),
    ArrowLeft: () => go(-1),
    m: card && (() => toggle(card)),
    ArrowDown: slices && (() => slide(slices, 1)),
    ArrowUp: slices && (() => slide(slices, -1)),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#image-"]');
  if (link) setTimeout(() => document.querySelector(link.hash)?.focus({ preventScroll: true }));
});
