// Without this script the page is whole: it loads pictures when they are seen and unfolds what is led to.

// Pictures wait as the text of a <noscript>; browsers of slices wait to be drawn.
const load = (place) => {
  const waiting = place.querySelector("noscript");
  if (waiting) waiting.outerHTML = waiting.textContent;
  if (place.matches(".browser[hidden]")) {
    place.hidden = false;
    browse(place);
  }
};
const loadAll = () => all(".held, .browser").forEach(load);
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    if (entry.target.matches(".browsers")) all(".browser", entry.target).forEach(load);
    else load(entry.target);
  }
}, { rootMargin: "600px" });
all(".held, .browsers").forEach((place) => near.observe(place));

// A link into something folded unfolds it.
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let place = target; place; place = place.parentElement) if (place.matches("details")) place.open = true;
  if (target?.matches("section")) for (const fold of target.querySelectorAll(":scope > details")) fold.open = true;
  target?.scrollIntoView();
};
addEventListener("hashchange", unfold);
if (location.hash) unfold();
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) unfold();  // it changes no hash
});

// Folds: all at once by a button, and for printing.
const folds = () => all("main details");
for (const button of all("button[data-fold]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    for (const fold of all("details.arm")) fold.open = button.dataset.fold === "open";
  });
}
let closed = [];
addEventListener("beforeprint", () => {
  closed = folds().filter((fold) => !fold.open);
  for (const fold of closed) fold.open = true;
  loadAll();
});
addEventListener("afterprint", () => {
  for (const fold of closed) fold.open = false;
});

// Contents: folded on narrow screens, and the place in them marked.
const contents = document.querySelector(".contents details");
const wide = matchMedia("(min-width: 1100px)");
if (contents) {
  const fit = () => { contents.open = wide.matches; };
  wide.addEventListener("change", fit);
  fit();
  contents.addEventListener("click", (event) => {
    if (event.target.closest("a") && !wide.matches) contents.open = false;
  });
  const links = new Map(all("a", contents).map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
  const here = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const link = links.get(entry.target.id);
      if (entry.isIntersecting) {
        for (const other of links.values()) other.removeAttribute("aria-current");
        link.setAttribute("aria-current", "true");
      }
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const id of links.keys()) {
    const target = document.getElementById(id);
    if (target) here.observe(target);
  }
}
