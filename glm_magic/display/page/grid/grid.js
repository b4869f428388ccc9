// A grid that can be used: rows are drawn as they come into view, and after that only where they have changed.

const STOP_AGAIN_SECONDS = 5; // an interrupt can be lost, as in code of the notebook that catches it
const AHEAD = "600px"; // rows so near to what is seen are drawn
const PAGE = 10; // rows that a key moves over
const MOST_ROWS = 500; // in the page; more of them when asked for
const REST = 60; // milliseconds without a scroll

class GridPart {
  constructor(data, { send, interrupt }) {
    this.data = data;
    this.send = send;
    this.interrupt = interrupt;
    this.filter = "all";
    this.order = "row";
    this.view = data.rows.length === 1 ? "full" : "compact";
    this.before = "compact"; // the view before diff
    this.waits = "";
    this.isStopping = false;
    this.isOver = false; // the kernel has ended
    this.panel = null;
    this.at = [0, 0];
    this.most = MOST_ROWS;
    this.dirty = new Set();
    this.lines = []; // of the rows, by index

    this.node = element("div", "grid");
    this.node.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the keys for its own
    this.tools = new Tools(this, this.node);
    this.scroller = element("div", "scroller", this.node);
    this.scroller.setAttribute("role", "grid");
    this.scroller.setAttribute("aria-label", "Answers by row and configuration");
    this.scroller.addEventListener("scroll", () => {
      clearTimeout(this.rests); // to ask for it in each frame costs a layout
      this.rests = setTimeout(() => {
        if (this.node.isConnected) this.scrolled = [this.scroller.scrollLeft, this.scroller.scrollTop];
      }, REST);
    });
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(this.scroller);
    this.node.addEventListener("focusin", (event) => {
      this.focused = event.target;
      if (event.target.matches(".glm-live-cell")) this.at = this.placeOf(event.target);
      this.rove();
    });
    this.node.addEventListener("focusout", (event) => {
      if (event.relatedTarget) this.focused = null;
    });
    this.node.addEventListener("keydown", (event) => this.onKey(event));
    this.scroller.addEventListener("click", (event) => this.onClick(event));
    this.seen = new IntersectionObserver((entries) => this.onSeen(entries), { root: this.scroller, rootMargin: AHEAD });
    this.build();
  }

  build() {
    const { data } = this;
    this.seen.disconnect();
    this.scroller.style.setProperty("--glm-live-columns", String(data.columns.length));
    this.scroller.classList.toggle("glm-live-one", data.rows.length === 1 && !Object.keys(data.rows[0].values).length);
    this.scroller.setAttribute("aria-rowcount", String(data.rows.length + 1));
    this.scroller.setAttribute("aria-colcount", String(data.columns.length + 1));
    const top = element("div", "heads");
    top.setAttribute("role", "row");
    top.setAttribute("aria-rowindex", "1");
    const corner = element("div", "corner", top);
    corner.setAttribute("role", "columnheader");
    corner.textContent = "row";
    this.heads = data.columns.map((_, column) => new Head(this, column));
    top.append(...this.heads.map((head) => head.node));
    this.lines = data.rows.map(() => ({ node: null, cells: null, isSeen: false }));
    this.scroller.replaceChildren(top);
    this.resized.observe(top);
    this.arrange();
    this.node.dataset.view = this.view;
    this.tools.draw();
  }

  // Whether other data has as many rows and columns, so that what was chosen here holds for it.
  isLike(data) {
    return data.rows.length === this.data.rows.length && data.columns.length === this.data.columns.length;
  }

  replace(data) {
    const { panel } = this;
    const isFocused = this.node.contains(document.activeElement);
    Object.assign(this, { data, panel: null, waits: "", isStopping: false });
    this.dirty.clear();
    this.build();
    if (panel) this.toggle(panel.row, panel.column);
    if (isFocused) this.go(...this.at);
  }

  // What stays in its place when the grid scrolls must not hide the cell that is moved to.
  fit() {
    const { scroller } = this;
    const isWide = scroller.scrollWidth > scroller.clientWidth;
    scroller.classList.toggle("glm-live-wide", isWide);
    scroller.style.scrollPaddingTop = `${scroller.firstChild.offsetHeight}px`;
    scroller.style.scrollPaddingLeft = isWide ? `${scroller.querySelector(".glm-live-corner").offsetWidth}px` : "";
  }

  // Put the rows in order, without those that the filter leaves out.
  arrange() {
    const { data } = this;
    const rows = data.rows.map((row, at) => ({ at, number: row.number, cells: row.cells, flags: row.flags }));
    const shown = sorted(rows, this.order, data.base).filter((row) => this.filter === "all" || row.flags[this.filter]);
    this.shown = shown.slice(0, this.most).map((row) => row.at);
    const top = this.scroller.firstChild;
    const fragment = document.createDocumentFragment();
    for (const [at, row] of this.shown.entries()) {
      const node = this.nodeOf(row);
      node.setAttribute("aria-rowindex", String(at + 2));
      fragment.append(node);
    }
    const left = shown.length - this.shown.length;
    if (left) {
      const label = `Show ${Math.min(left, MOST_ROWS).toLocaleString("en")} more of ${left.toLocaleString("en")} rows`;
      button("next", label, fragment, () => {
        this.most += MOST_ROWS;
        this.arrange();
        this.go(this.shown[this.most - MOST_ROWS], this.at[1]);
      });
    }
    if (!this.shown.length) element("div", "none", fragment).textContent = `no row is ${this.filter}`;
    this.scroller.replaceChildren(top, fragment);
    if (!this.shown.includes(this.at[0])) this.at = [this.shown[0] ?? 0, 0];
    this.rove();
  }

  nodeOf(row) {
    const line = this.lines[row];
    if (line.node) return line.node;
    line.node = element("div", "row");
    line.node.setAttribute("role", "row");
    line.node.dataset.row = String(row);
    this.seen.observe(line.node);
    return line.node;
  }

  onSeen(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = Number(target.dataset.row);
      this.lines[row].isSeen = isIntersecting;
      if (isIntersecting) this.drawRow(row);
    }
  }

  line(row) {
    const line = this.lines[row];
    if (line.cells) return line;
    this.nodeOf(row);
    const { number, values } = this.data.rows[row];
    const header = element("div", "header", line.node);
    header.setAttribute("role", "rowheader");
    element("span", "number", header).textContent = String(number);
    const all = Object.entries(values);
    const clamped = element("div", "values", header);
    clamped.textContent = all.length === 1 ? all[0][1] : all.map(([name, value]) => `${name}: ${value}`).join("\n");
    line.cells = this.data.columns.map((_, column) => new Cell(this, row, column));
    line.node.append(...line.cells.map((cell) => cell.node));
    if (row === this.at[0]) this.rove();
    return line;
  }

  drawRow(row) {
    this.dirty.delete(row);
    const isNew = !this.lines[row].cells;
    const { cells } = this.line(row);
    if (!isNew) for (const cell of cells) cell.draw();
    if (this.panel?.row === row) this.panel.draw();
  }

  // Take what has changed, and draw what of it is seen with the next frame.
  take(patch) {
    const heads = patch.columns || patch.baseline !== undefined || patch.blind !== undefined;
    const wasRunning = this.data.isRunning;
    for (const row of this.data.take(patch)) this.dirty.add(row);
    if (wasRunning && !this.data.isRunning && this.order !== "row") this.arrange();
    this.waits = patch.said ?? ""; // why something was not done
    if (!this.data.isRunning) this.isStopping = false;
    this.areHeadsDirty ||= heads;
    if (patch.baseline !== undefined && this.view === "diff") this.redraw();
    this.isDue ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.isDue = null;
    if (this.areHeadsDirty) for (const head of this.heads) head.draw();
    this.areHeadsDirty = false;
    for (const row of this.dirty) {
      if (this.lines[row].isSeen) this.drawRow(row);
    }
    if (this.filter !== "all") {
      const shown = Math.min(this.most, this.data.rows.filter((row) => row.flags[this.filter]).length);
      if (shown !== this.shown.length) this.arrange();
    }
    this.tools.draw();
  }

  redraw() {
    for (const [row, line] of this.lines.entries()) {
      if (!line.cells) continue;
      if (line.isSeen) this.drawRow(row);
      else this.dirty.add(row);
    }
    for (const head of this.heads) head.draw();
  }

  choose({ filter = this.filter, view = this.view, order = this.order }) {
    const isOther = filter !== this.filter || order !== this.order;
    if (view !== this.view && this.view !== "diff") this.before = this.view;
    const isOtherView = view !== this.view;
    Object.assign(this, { filter, view, order });
    if (isOther) this.most = MOST_ROWS;
    this.node.dataset.view = view;
    if (isOtherView) this.redraw();
    if (isOther) this.arrange();
    this.tools.draw();
  }

  // --- what a person does ---------------------------------------------------------------------

  canStop() {
    return !this.isOver && (this.data.isBackground || this.interrupt !== null);
  }

  stop() {
    if (this.isStopping || !this.canStop()) return;
    this.isStopping = true;
    const again = () => {
      this.isStopping = false;
      this.tools.draw();
    };
    // never both: the later of the two would hit the next cell
    if (this.data.isBackground) this.send({ kind: "stop" });
    else {
      setTimeout(again, 1000 * STOP_AGAIN_SECONDS);
      this.interrupt().catch(again);
    }
    this.tools.draw();
  }

  act(kind, spot, value = null) {
    if (this.isOver) return;
    const [row, column, repeat] = spot;
    const isOfAnswer = ["pick", "rate", "note"].includes(kind);
    const answer = this.data.rows[row].cells[column].answers[repeat];
    if (isOfAnswer && answer.state !== "done") return;
    if (kind === "rate") answer.rating = value ?? undefined; // seen at once: the kernel may be busy
    if (kind === "note") answer.note = value;
    if (isOfAnswer) {
      this.data.judge(this.data.rows[row]);
      this.drawRow(row);
    }
    this.send({ kind, spot, value });
    const { number } = this.data.rows[row];
    const what = isOfAnswer ? `${kind}: row ${number}, ${this.data.columns[column].label}` : kind;
    this.waits = `${what} · waiting for the kernel`;
    this.tools.draw();
  }

  toggle(row, column) {
    const was = this.panel;
    was?.node.remove();
    this.panel = null;
    this.markOpen(was, false);
    if (was && was.row === row && was.column === column) return;
    this.panel = new Panel(this, row, column);
    this.line(row).node.append(this.panel.node);
    this.markOpen(this.panel, true);
  }

  markOpen(panel, isOpen) {
    if (panel) this.line(panel.row).cells[panel.column].node.setAttribute("aria-expanded", String(isOpen));
  }

  onClick(event) {
    const cell = event.target.closest(".glm-live-cell");
    if (!cell || event.target.closest("input, button, summary") || String(getSelection())) return;
    this.go(...this.placeOf(cell));
    this.toggle(...this.at);
  }

  placeOf(cell) {
    const row = Number(cell.parentNode.dataset.row);
    return [row, this.lines[row].cells.findIndex(({ node }) => node === cell)];
  }

  onKey(event) {
    if (event.target.matches(".glm-live-note")) {
      if (event.key === "Escape") event.target.value = event.target.defaultValue;
      if (event.key === "Enter" || event.key === "Escape") this.go(...this.at); // what was typed is taken as it loses the focus
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.matches(".glm-live-cell")) {
      if (event.key === "Escape" && this.panel) this.close();
      return;
    }
    const [row, column] = this.at;
    const at = this.shown.indexOf(row);
    const cell = this.data.rows[row].cells[column];
    const spot = [row, column, cell.shown];
    const move = (rows, columns) => {
      const last = this.data.columns.length - 1;
      const next = Math.min(Math.max(at + rows, 0), this.shown.length - 1);
      this.go(this.shown[next], Math.min(Math.max(column + columns, 0), last));
    };
    const keys = {
      ArrowUp: () => move(-1, 0),
      ArrowDown: () => move(1, 0),
      ArrowLeft: () => move(0, -1),
      ArrowRight: () => move(0, 1),
      PageUp: () => move(-PAGE, 0),
      PageDown: () => move(PAGE, 0),
      Home: () => move(-Infinity, 0),
      End: () => move(Infinity, 0),
      Enter: () => this.toggle(row, column),
      " ": () => this.toggle(row, column),
      Escape: () => this.panel && this.close(),
      d: () => this.choose({ view: this.view === "diff" ? this.before : "diff" }),
      p: () => this.act("pick", spot),
      b: () => this.data.blind || this.act("baseline", [0, column, 0]),
      n: () => this.noteOn(row, column),
      0: () => this.act("rate", spot, null),
    };
    for (const value of [1, 2, 3, 4, 5]) keys[value] = () => this.act("rate", spot, value);
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  noteOn(row, column) {
    if (this.panel?.row !== row || this.panel?.column !== column) this.toggle(row, column);
    this.panel.entries[this.data.rows[row].cells[column].shown].judging.note.focus();
  }

  close() {
    this.toggle(this.panel.row, this.panel.column);
    this.go(...this.at);
  }

  go(row, column) {
    this.at = [row, column];
    const { node } = this.line(row).cells[column];
    this.rove();
    node.focus({ preventScroll: true });
    const show = (times) => {
      if (this.roving !== node) return;
      node.scrollIntoView({ block: "nearest", inline: "nearest" });
      if (times) requestAnimationFrame(() => show(times - 1)); // rows that are drawn on the way have another height then
    };
    show(3);
  }

  // One cell takes part in the page's order of Tab.
  rove() {
    this.roving?.setAttribute("tabindex", "-1");
    this.roving = this.lines[this.at[0]]?.cells?.[this.at[1]]?.node;
    this.roving?.setAttribute("tabindex", "0");
  }

  // Stand in another place of the page, scrolled and focused as before.
  moveTo(place) {
    place.append(this.node);
    this.settle();
  }

  settle() {
    if (this.scrolled) [this.scroller.scrollLeft, this.scroller.scrollTop] = this.scrolled;
    if (this.focused && [document.body, null].includes(document.activeElement)) this.focused.focus({ preventScroll: true });
  }

  dispose() {
    this.seen.disconnect();
    this.resized.disconnect();
  }

  end() {
    this.isOver = true;
    this.waits = "The kernel has ended.";
    this.node.classList.add("glm-live-over");
    this.tools.draw();
  }
}
