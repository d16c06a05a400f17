// Chooses every experiment, quantity and column of lines, and counts what is drawn.
const choose = (id, value) => {
  const select = document.getElementById(id);
  select.value = value;
  select.dispatchEvent(new Event("change"));
};
const options = (id) => [...document.getElementById(id).options].map((option) => option.value);
const counts = [];
for (const experiment of options("choose-experiment")) {
  choose("choose-experiment", experiment);
  for (const quantity of options("choose-quantity")) {
    choose("choose-quantity", quantity);
    for (const lines of options("choose-lines")) {
      choose("choose-lines", lines);
      const chart = document.getElementById("chart");
      const marks = chart.querySelectorAll(".line, circle").length;
      const invalid = (chart.outerHTML.match(/NaN|Infinity|undefined/g) ?? []).length;
      counts.push({ experiment, quantity, lines, marks, invalid });
    }
  }
}
return counts;
