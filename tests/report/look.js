// Measures what a reader sees of the page at the width of the window.
const shown = (element) => element.offsetHeight > 0;
const pictures = [...document.querySelectorAll(".picture")];
const field = document.getElementById("search");
const pen = document.createElement("canvas").getContext("2d");
pen.font = getComputedStyle(field).font;
const padding = parseFloat(getComputedStyle(field).paddingLeft) + parseFloat(getComputedStyle(field).paddingRight);

// A word that is broken has a rectangle on each of its lines.
const broken = [];
for (const cell of document.querySelectorAll('#verdicts td[data-label="taken to mean"]')) {
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    for (const word of walker.currentNode.data.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map((rectangle) => Math.round(rectangle.top)));
      if (lines.size > 1) broken.push(word[0]);
    }
  }
}

return {
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  scrolls: pictures.map((picture) => picture.scrollWidth > picture.clientWidth),
  signs: pictures.map((picture) => shown(picture.nextElementSibling)),
  placeholder: pen.measureText(field.placeholder).width,
  field: field.clientWidth - padding,
  broken,
};
