// One cell of the grid, and the panel that opens below a row.

class Cell {
  constructor(grid, row, column) {
    this.grid = grid;
    this.row = row;
    this.column = column;
    this.node = element("div", "cell");
    this.node.setAttribute("role", "gridcell");
    this.node.setAttribute("aria-colindex", String(column + 2));
    this.node.tabIndex = -1;
    this.text = element("div", "text", this.node);
    this.others = element("div", "others", this.node);
    this.marks = element("div", "marks", this.node);
    this.facts = element("div", "facts", this.node);
    this.judging = null;
    this.draw();
  }

  draw() {
    const { data, view } = this.grid;
    const cells = data.rows[this.row].cells;
    const cell = cells[this.column];
    const shown = cell.answers[cell.shown] ?? { state: "waiting", text: "" };
    const base = cells[data.base];
    const isCompared = view === "diff" && this.column !== data.base && shown.state === "done";
    if (isCompared) {
      const key = JSON.stringify([words(base.answers[base.shown]), shown.text]);
      if (this.compared !== key) setDifferences(this.text, words(base.answers[base.shown]), shown.text);
      this.compared = key;
    } else {
      this.compared = null;
      set(this.text, words(shown));
    }
    this.node.dataset.state = shown.state;
    this.text.classList.toggle("glm-live-bad", isBad(shown));
    const others = view === "full" ? cell.answers.filter((answer) => answer !== shown && words(answer) !== words(shown)) : [];
    while (this.others.childElementCount > others.length) this.others.lastChild.remove();
    for (const [at, answer] of others.entries()) {
      const node = this.others.children[at] ?? element("div", "other", this.others);
      set(node, words(answer));
      node.classList.toggle("glm-live-bad", isBad(answer));
    }
    set(this.marks, joined(cell.marks));
    set(this.facts, joined(shown.facts));
    this.node.setAttribute("aria-selected", String(cell.answers.some((answer) => answer.picked)));
    if (data.rows.length === 1 && cell.answers.length === 1) {
      const { label } = data.columns[this.column];
      this.judging ??= new Judging([this.row, this.column, 0], this.grid, label, this.node);
      this.judging.update(shown);
    }
  }
}

class Panel {
  constructor(grid, row, column) {
    this.grid = grid;
    this.row = row;
    this.column = column;
    const { data } = grid;
    const { label } = data.columns[column];
    this.node = element("div", "panel");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", `Row ${data.rows[row].number}, ${label}: all answers`);
    const values = Object.entries(data.rows[row].values);
    for (const [name, value] of values) {
      const shown = element("div", "value", this.node);
      element("span", "name", shown).textContent = name;
      element("div", "whole", shown).textContent = value;
    }
    this.entries = data.rows[row].cells[column].answers.map((_, repeat, all) => {
      const node = element("div", "entry", this.node);
      const title = element("div", "facts", node);
      const text = element("div", "whole", node);
      text.tabIndex = 0; // what scrolls must be reached by the keyboard
      const fold = element("details", "thinking", node);
      const summary = element("summary", "summary", fold);
      const thinking = element("div", "whole", fold);
      const name = all.length > 1 ? `${label}, answer ${repeat + 1} of ${all.length}` : label;
      text.setAttribute("aria-label", name);
      return { name, title, text, fold, summary, thinking, judging: new Judging([row, column, repeat], grid, name, node) };
    });
    this.draw();
  }

  draw() {
    const { data } = this.grid;
    for (const [repeat, entry] of this.entries.entries()) {
      const answer = data.rows[this.row].cells[this.column].answers[repeat];
      set(entry.title, joined([entry.name, ...(answer.facts ?? []), ...(answer.scores ?? [])]));
      set(entry.text, words(answer));
      entry.text.classList.toggle("glm-live-bad", isBad(answer));
      entry.fold.hidden = !answer.reasoning;
      set(entry.summary, `Thinking · ${(answer.reasoning ?? "").length} characters`);
      set(entry.thinking, answer.reasoning ?? "");
      entry.judging.update(answer);
    }
  }
}
