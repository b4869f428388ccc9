// The heads of the columns.

class Head {
  constructor(grid, column) {
    this.grid = grid;
    this.column = column;
    this.node = element("div", "head");
    this.node.setAttribute("role", "columnheader");
    this.node.setAttribute("aria-colindex", String(column + 2));
    const line = element("div", "name", this.node);
    this.label = element("span", "label", line);
    this.pin = button("pin", "set as baseline", line, () => grid.act("baseline", [0, column, 0]));
    this.settings = element("div", "settings", this.node);
    this.score = element("div", "score", this.node);
    this.track = element("div", "track", this.node);
    this.track.setAttribute("aria-hidden", "true"); // the score says it in words
    this.range = element("div", "range", this.track);
    this.dot = element("div", "dot", this.track);
    this.difference = element("div", "difference", this.node);
    this.facts = element("div", "facts", this.node);
    this.fold = element("details", "prompt", this.node);
    element("summary", "summary", this.fold).textContent = "prompt";
    this.prompt = element("div", "whole", this.fold);
    this.draw();
  }

  draw() {
    const { data, view } = this.grid;
    const column = data.columns[this.column];
    const isBase = !data.blind && data.columns.length > 1 && this.column === data.baseline;
    set(this.label, isBase ? `${column.label} ★ baseline` : column.label);
    this.pin.hidden = data.blind || isBase || data.columns.length < 2;
    this.pin.setAttribute("aria-label", `Make ${column.label} the baseline`);
    set(this.settings, joined(column.settings));
    set(this.score, column.score ?? "");
    this.track.hidden = !column.places;
    if (column.places) {
      const [low, mean, high] = column.places;
      Object.assign(this.range.style, { left: `${low}%`, width: `${high - low}%` });
      this.dot.style.left = `${mean}%`;
    }
    set(this.difference, column.difference ?? "");
    this.difference.dataset.verdict = column.verdict ?? "";
    set(this.facts, joined(column.facts));
    this.fold.hidden = !column.prompt;
    const base = data.columns[data.base];
    if (view === "diff" && this.column !== data.base) setDifferences(this.prompt, base.prompt ?? "", column.prompt ?? "");
    else set(this.prompt, column.prompt ?? "");
  }
}
