const search = document.getElementById("search");
const filters = [...document.querySelectorAll(".filter")];
const rows = [...document.querySelectorAll("tr.claim")];
const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase().replace(/\s+/g, " ")]));

// Terms between commas must all be found; a number at the end of one is not the beginning of a longer one.
function patterns() {
  const terms = search.value.toLowerCase().split(",").map((term) => term.trim()).filter(Boolean);
  return terms.map((term) => new RegExp(term.replace(/[^\w\s]/g, "\\$&") + (/\d$/.test(term) ? "(?!\\d)" : "")));
}

function show() {
  const wanted = patterns();
  const verdicts = filters.filter((box) => box.checked).map((box) => box.value);
  for (const row of rows) {
    row.hidden = !(verdicts.includes(row.dataset.verdict) && wanted.every((pattern) => pattern.test(texts.get(row))));
  }
  document.getElementById("shown").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
}

// A link leads to its target even if a filter hides it or it is folded.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.hidden) {
    search.value = "";
    filters.forEach((box) => { box.checked = true; });
    show();
  }
  const folded = target.querySelector("details");
  if (folded && target.matches(".claim, .check, .finding, .experiment")) folded.open = true;
  target.scrollIntoView();
}

const contents = document.querySelector("#contents details");
const wide = matchMedia("(min-width: 1100px)");
const unfold = () => { contents.open = wide.matches; };
unfold();
wide.addEventListener("change", unfold);
contents.addEventListener("click", (event) => {
  if (event.target.matches("a") && !wide.matches) contents.open = false;
});

// The contents mark the figure or section that is being read.
const links = new Map([...document.querySelectorAll("#contents a")].map((link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((entry) => entry.isIntersecting)) {
    links.forEach((link, id) => link.classList.toggle("current", id === entry.target.id));
  }
}, { rootMargin: "-10% 0px -80% 0px" });
links.forEach((_, id) => reading.observe(document.getElementById(id)));

// An animated figure has a slider; without this script it shows its last frame.
for (const controls of document.querySelectorAll(".frames")) {
  const figure = controls.closest("article");
  const frames = JSON.parse(figure.querySelector(".frames-of-it").textContent);
  const picture = figure.querySelector("img");
  const slider = controls.querySelector("input");
  const button = controls.querySelector("button");
  let timer = null;
  const draw = () => { picture.src = frames[slider.value]; };
  const stop = () => { clearInterval(timer); timer = null; button.textContent = "play"; };
  const advance = () => {
    slider.value = (Number(slider.value) + 1) % frames.length;
    draw();
    if (Number(slider.value) === frames.length - 1) stop();
  };
  slider.addEventListener("input", () => { stop(); draw(); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    button.textContent = "pause";
    timer = setInterval(advance, 150);
  });
  controls.hidden = false;
}

search.addEventListener("input", show);
filters.forEach((box) => box.addEventListener("change", show));
addEventListener("hashchange", reveal);
show();
reveal();
