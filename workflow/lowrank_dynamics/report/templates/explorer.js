// Draws the curves in #curves: a line for each value of one column, the other columns fixed.
const data = JSON.parse(document.getElementById("curves").textContent);
const columns = data.columns.filter((column) => column !== "quantity");
const curves = {};
for (const [experiment, { steps, curves: packed }] of Object.entries(data.experiments)) {
  curves[experiment] = packed.map((values) => {
    const curve = Object.fromEntries(data.columns.map((column, place) => [column, values[place]]));
    const [place, trials, means, deviations] = values.slice(data.columns.length);
    return { ...curve, trials, points: steps[place].map((step, i) => ({ x: step, mean: means[i], deviation: deviations[i] })) };
  });
}

const explorer = document.getElementById("explorer");
const chart = document.getElementById("chart");
const reader = document.getElementById("reader");
const log = document.getElementById("choose-log");
const [chosenExperiment, chosenQuantity, chosenLines] = ["experiment", "quantity", "lines"].map((name) => document.getElementById(`choose-${name}`));
const columnSelects = new Map([...explorer.querySelectorAll("[data-column]")].map((select) => [select.dataset.column, select]));
const hidden = new Set();
const FEW = 8;
const DASHES = ["", "7 3", "2 2", "8 3 2 3"];
const FIRST = ["block_share", "test_accuracy", "train_loss"];
const MARGIN = { left: 56, right: 20, top: 12, bottom: 36 };

const unique = (values) => [...new Set(values)];
const spaced = (name) => name.replaceAll("_", " ");

// A value of a column in words, such as GELU, layer 2 or the whole network.
function words(column, value) {
  if (data.labels[column]) return data.labels[column][value];
  if (column === "layer") return value === 0 ? "whole network" : `layer ${value}`;
  if (column === "variant") return spaced(value);
  return chosenQuantity.value === "block_share" ? `block ${value}` : `index ${value}`;
}

function shortened(number) {
  if (number === null) return "not finite";
  const size = Math.abs(number);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? number.toExponential(3).replace(/\.?0+e/, "e") : String(Number(number.toPrecision(4)));
}

const reading = (point) => shortened(point.mean) + (point.deviation === null ? "" : ` ± ${shortened(Number(point.deviation.toPrecision(2)))}`);

// Offers some options [value, words] in a select, and keeps the one that is chosen, if it is among them.
function offer(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => String(value) === before)) select.value = before;
}

function offerQuantities() {
  const quantities = unique(curves[chosenExperiment.value].map((curve) => curve.quantity));
  const kept = quantities.includes(chosenQuantity.value);
  offer(chosenQuantity, quantities.map((quantity) => [quantity, spaced(quantity)]));
  if (!kept) chosenQuantity.value = FIRST.find((quantity) => quantities.includes(quantity)) ?? quantities[0];
}

// What was measured at one step only is drawn against its index, a point where it has none.
function measured() {
  const all = curves[chosenExperiment.value].filter((curve) => curve.quantity === chosenQuantity.value);
  const atOneStep = all.every((curve) => curve.points.length === 1);
  if (!atOneStep || unique(all.map((curve) => curve.index)).length === 1) return { axis: "step", all };
  const joined = new Map();
  for (const curve of all) {
    const key = columns.filter((column) => column !== "index").map((column) => curve[column]).join("\n");
    if (!joined.has(key)) joined.set(key, { ...curve, index: 0, points: [] });
    joined.get(key).points.push({ ...curve.points[0], x: curve.index });
  }
  return { axis: "index", all: [...joined.values()] };
}

function offerColumns(all) {
  const values = new Map(columns.map((column) => [column, unique(all.map((curve) => curve[column]))]));
  const varying = columns.filter((column) => values.get(column).length > 1);
  offer(chosenLines, varying.map((column) => [column, columnSelects.get(column).dataset.words]));
  chosenLines.parentElement.hidden = varying.length === 0;
  for (const [column, select] of columnSelects) {
    offer(select, values.get(column).map((value) => [value, words(column, value)]));
    select.parentElement.hidden = !varying.includes(column) || column === chosenLines.value;
  }
}

function selectedLines(all) {
  const by = chosenLines.value;
  const fixed = columns.filter((column) => column !== by);
  const kept = all.filter((curve) => fixed.every((column) => String(curve[column]) === columnSelects.get(column).value));
  const names = unique(all.map((curve) => curve[by]));
  return kept.map((curve) => {
    const place = names.indexOf(curve[by]);
    const many = names.length > FEW;
    return {
      ...curve,
      label: by ? words(by, curve[by]) : words("activation", curve.activation),
      color: many ? `hsl(${Math.round((290 * place) / names.length)} 65% var(--lightness))` : `var(--line-${place})`,
      dash: many ? "" : DASHES[place % DASHES.length],
    };
  });
}

function element(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// The multiples of step between low and high.
function multiples(step, low, high) {
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// Some `most` round numbers between low and high, evenly spaced.
function linearTicks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  return multiples(power * [1, 2, 5, 10].find((factor) => factor * power >= rough), low, high);
}

// Powers of ten between low and high, some `most` of them; within a few decades also 2 and 5 times them.
function logarithmicTicks(low, high, most) {
  const [first, last] = [Math.log10(low), Math.log10(high)];
  if (last - first >= 3) {
    return multiples(Math.ceil((last - first) / most), first, last).map((power) => 10 ** power);
  }
  const powers = multiples(1, Math.floor(first), Math.ceil(last));
  const numbers = powers.flatMap((power) => [1, 2, 5].map((factor) => factor * 10 ** power));
  const inside = numbers.filter((number) => low <= number && number <= high);
  return inside.length > 1 ? inside : linearTicks(low, high, most);
}

// The lowest and highest number that an axis shows: those of the means and their bands.
function range(points, logarithmic) {
  const shown = points.flatMap(({ mean, deviation }) => [mean, mean - deviation, mean + deviation]);
  const numbers = logarithmic ? shown.filter((number) => number > 0) : shown;
  let [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  // a band that reaches to 0 would need an endless axis
  if (logarithmic) low = Math.max(low, Math.min(...points.map((point) => point.mean)) / 10);
  else if (low > 0 && low < high / 2) low = 0;
  // nor may the last of four digits fill the axis
  const least = (low === 0 && high === 0 ? 1 : Math.max(Math.abs(low), Math.abs(high))) / 50;
  const missing = Math.max(0, least - (high - low)) / 2;
  return [low - missing, high + missing];
}

function path(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

let shown = { lines: [], xs: [], across: () => 0 };

function draw() {
  const { axis, all } = measured();
  offerColumns(all);
  const lines = selectedLines(all);
  const finite = lines.flatMap((line) => line.points).filter((point) => point.mean !== null);
  log.disabled = !finite.some((point) => point.mean > 0);
  const logarithmic = log.checked && !log.disabled;
  const drawable = (point) => point.mean !== null && !(logarithmic && point.mean <= 0);
  const visible = lines.filter((line) => !hidden.has(line.label)).map((line) => ({ ...line, points: line.points.filter(drawable) }));
  const points = visible.flatMap((line) => line.points);

  const width = chart.clientWidth;
  const height = Math.max(260, Math.min(420, width * 0.55));
  const drawing = [];
  let across = () => MARGIN.left;
  if (points.length) {
    const xs = points.map((point) => point.x);
    let [first, last] = [Math.min(...xs), Math.max(...xs)];
    if (first === last) [first, last] = [first - 1, last + 1];
    const [low, high] = range(points, logarithmic);
    const scale = logarithmic ? Math.log10 : (number) => number;
    const bottom = height - MARGIN.bottom;
    across = (x) => MARGIN.left + ((x - first) / (last - first)) * (width - MARGIN.left - MARGIN.right);
    const up = (y) => bottom - ((scale(Math.max(y, low)) - scale(low)) / (scale(high) - scale(low))) * (bottom - MARGIN.top);
    for (const tick of (logarithmic ? logarithmicTicks : linearTicks)(low, high, 6)) {
      drawing.push(element("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: up(tick), y2: up(tick) }));
      drawing.push(element("text", { x: MARGIN.left - 6, y: up(tick) + 4, "text-anchor": "end" }, shortened(tick)));
    }
    for (const tick of linearTicks(first, last, width / 90).filter(Number.isInteger)) {
      drawing.push(element("line", { class: "grid", x1: across(tick), x2: across(tick), y1: bottom, y2: bottom + 4 }));
      drawing.push(element("text", { x: across(tick), y: bottom + 18, "text-anchor": "middle" }, String(tick)));
    }
    drawing.push(element("text", { x: width - MARGIN.right, y: height - 3, "text-anchor": "end" }, axis));
    for (const line of visible) drawing.push(...drawnLine(line, across, up));
  }
  drawing.push(element("line", { class: "cursor", y1: MARGIN.top, y2: height - MARGIN.bottom }));
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.style.height = `${height}px`;
  chart.replaceChildren(...drawing);

  const xs = unique(points.map((point) => point.x)).sort((one, other) => one - other);
  const moved = xs.join() !== shown.xs.join();
  shown = { lines, visible, axis, xs, across };
  reader.max = Math.max(0, xs.length - 1);
  if (moved) reader.value = reader.max;
  reader.disabled = xs.length < 2;
  describe(lines, axis, logarithmic && finite.some((point) => point.mean <= 0), lines.some((line) => line.points.some((point) => point.mean === null)));
  list(lines);
  read();
  if (document.getElementById("numbers").open) tabulate();
}

function drawnLine(line, across, up) {
  if (!line.points.length) return [];
  const band = line.points.filter((point) => point.deviation !== null);
  const upper = band.map((point) => [across(point.x), up(point.mean + point.deviation)]);
  const lower = band.map((point) => [across(point.x), up(point.mean - point.deviation)]);
  const middle = line.points.map((point) => [across(point.x), up(point.mean)]);
  const look = { stroke: line.color, "stroke-dasharray": line.dash };
  if (middle.length === 1) {
    const error = upper.length ? [element("path", { class: "line", ...look, d: path([upper[0], lower[0]]) })] : [];
    return [...error, element("circle", { fill: line.color, cx: middle[0][0], cy: middle[0][1], r: 4 })];
  }
  return [
    element("path", { class: "band", fill: line.color, d: path([...upper, ...lower.reverse()]) }),
    element("path", { class: "line", ...look, d: path(middle) }),
  ];
}

function describe(lines, axis, leftOut, diverged) {
  const fixed = columns.filter((column) => column !== chosenLines.value && !columnSelects.get(column).parentElement.hidden);
  const where = fixed.map((column) => words(column, lines.length ? lines[0][column] : columnSelects.get(column).value));
  document.getElementById("chart-title").textContent = [`${spaced(chosenQuantity.value)} over ${axis === "step" ? "steps" : "its index"}`, spaced(chosenExperiment.value), ...where].join(", ");
  const counts = lines.map((line) => line.trials);
  const [fewest, most] = [Math.min(...counts), Math.max(...counts)];
  const notes = [];
  if (!lines.length) notes.push("No curve was measured with these settings; choose others.");
  else if (fewest < most) notes.push(`${fewest} to ${most} trials.`);
  else notes.push(most === 1 ? "1 trial, so there is no band." : `${most} trials.`);
  if (leftOut) notes.push("Means of 0 or below are left out.");
  if (diverged) notes.push("Means that are not finite are left out.");
  document.getElementById("chart-note").textContent = notes.join(" ");
}

// The lines with their values where the curves are read; a click hides or shows one.
function list(lines) {
  document.getElementById("lines").replaceChildren(...lines.map((line) => {
    const sample = element("svg", { width: 26, height: 10, "aria-hidden": "true" }, element("path", { class: "line", stroke: line.color, "stroke-dasharray": line.dash, d: "M0 5H26" }));
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(!hidden.has(line.label)));
    button.append(sample, ` ${line.label}`);
    button.addEventListener("click", () => {
      if (!hidden.delete(line.label)) hidden.add(line.label);
      draw();
      [...document.querySelectorAll("#lines button")].find((other) => other.textContent.trim() === line.label)?.focus();
    });
    const value = document.createElement("span");
    const item = document.createElement("li");
    item.append(button, " ", value);
    return item;
  }));
}

function nearest(points, x) {
  if (!points.length || x < points[0].x || x > points.at(-1).x) return null;
  return points.reduce((best, point) => (Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best));
}

function read() {
  const x = shown.xs[Number(reader.value)];
  const place = x === undefined ? "" : `${shown.axis} ${x}`;
  document.getElementById("read-at").textContent = place;
  const values = shown.lines.map((line) => {
    const point = nearest(line.points, x);
    return point ? reading(point) : "";
  });
  document.querySelectorAll("#lines li > span").forEach((span, i) => { span.textContent = values[i]; });
  const spoken = shown.lines.slice(0, FEW).map((line, i) => `${line.label} ${values[i] || "none"}`);
  reader.setAttribute("aria-valuetext", [place, ...spoken].join(", "));
  const cursor = chart.querySelector(".cursor");
  cursor.setAttribute("x1", shown.across(x ?? 0));
  cursor.setAttribute("x2", shown.across(x ?? 0));
  cursor.toggleAttribute("hidden", x === undefined);
}

function point(event) {
  const x = event.clientX - chart.getBoundingClientRect().left;
  const distances = shown.xs.map((step) => Math.abs(shown.across(step) - x));
  reader.value = distances.indexOf(Math.min(...distances));
  read();
}

function tabulate() {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const text of [shown.axis, ...shown.visible.map((line) => line.label)]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = text;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const x of shown.xs) {
    const row = body.insertRow();
    row.insertCell().textContent = x;
    for (const line of shown.visible) {
      const point = line.points.find((other) => other.x === x);
      row.insertCell().textContent = point ? reading(point) : "";
    }
  }
  document.querySelector("#numbers > div").replaceChildren(table);
}

function chooseExperiment() {
  hidden.clear();
  offerQuantities();
  draw();
}

chosenExperiment.addEventListener("change", chooseExperiment);
for (const select of [chosenQuantity, chosenLines, ...columnSelects.values()]) {
  select.addEventListener("change", () => { hidden.clear(); draw(); });
}
log.addEventListener("change", draw);
reader.addEventListener("input", read);
chart.addEventListener("pointermove", point);
chart.addEventListener("pointerdown", point);
document.getElementById("numbers").addEventListener("toggle", (event) => { if (event.target.open) tabulate(); });
addEventListener("resize", draw);
chooseExperiment();
