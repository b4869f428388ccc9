// What stands above the grid: Stop, facts, progress, verdict; filters, views and the order of the rows.

const FILTERS = ["all", "failed", "different", "rated"];
const VIEWS = ["compact", "full", "diff"];
const KEYS = "in the grid: arrows move · Enter opens · 1–5 rate · d diff · p pick · b baseline · n note";
const SAID_SECONDS = 10; // between two words to a screen reader

class Choice {
  constructor(label, options, parent, on_choice) {
    this.node = element("div", "choice", parent);
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", label);
    element("span", "choice-label", this.node).textContent = label;
    this.buttons = options.map((option) => button("option", option, this.node, () => on_choice(option)));
    this.options = options;
  }

  draw(chosen, label = (option) => option) {
    for (const [at, option] of this.options.entries()) {
      this.buttons[at].setAttribute("aria-pressed", String(option === chosen));
      set(this.buttons[at], label(option));
    }
  }
}

class Tools {
  constructor(grid, parent) {
    this.grid = grid;
    const line = element("div", "line", parent);
    this.stop = button("stop", "Stop", line, () => grid.stop());
    this.title = element("span", "title", line);
    this.more = button("more", "", line, () => grid.act("more", [0, 0, 0]));
    this.reveal = button("more", "Reveal", line, () => grid.act("reveal", [0, 0, 0]));
    this.bar = element("div", "progress", parent);
    this.bar.setAttribute("role", "progressbar");
    this.bar.setAttribute("aria-label", "Answers");
    this.done = element("div", "progress-done", this.bar);
    this.verdict = element("div", "verdict", parent);
    this.heard = element("div", "heard", parent);
    this.heard.setAttribute("role", "status");
    this.heardAt = 0;
    this.waits = element("div", "waits", parent);

    const tools = element("div", "tools", parent);
    this.filter = new Choice("show", FILTERS, tools, (filter) => grid.choose({ filter }));
    this.view = new Choice("view", VIEWS, tools, (view) => grid.choose({ view }));
    const sorting = element("label", "sorting", tools);
    element("span", "choice-label", sorting).textContent = "sort";
    this.order = element("select", "order", sorting);
    this.order.addEventListener("change", () => grid.choose({ order: this.order.value }));
    this.sorting = sorting;
    const keys = element("details", "keys", tools);
    element("summary", "summary", keys).textContent = "keys";
    element("span", "facts", keys).textContent = KEYS;
    this.orders = "";
  }

  draw() {
    const { data } = this.grid;
    const { isRunning } = data;
    set(this.title, joined(data.title));
    this.stop.hidden = !isRunning || !this.grid.canStop();
    set(this.stop, this.grid.isStopping ? "Stopping" : "Stop");
    this.stop.setAttribute("aria-disabled", String(this.grid.isStopping));
    this.more.hidden = isRunning || !data.more;
    set(this.more, data.more ?? "");
    this.reveal.hidden = isRunning || !data.blind;
    this.bar.hidden = !isRunning;
    this.bar.setAttribute("aria-valuemax", String(data.answers));
    this.bar.setAttribute("aria-valuenow", String(data.ended));
    this.bar.setAttribute("aria-valuetext", `${data.ended} of ${data.answers} answers`);
    this.done.style.width = `${(100 * data.ended) / Math.max(1, data.answers)}%`;
    set(this.verdict, (data.verdict ?? []).join("\n"));
    set(this.waits, this.grid.waits);
    this.tell();

    const isOne = data.rows.length === 1;
    this.filter.node.hidden = isOne;
    this.filter.draw(this.grid.filter, (name) => (name === "all" ? "all" : `${name} ${data.counts[name]}`));
    this.view.node.hidden = data.columns.length === 1 && isOne;
    this.view.draw(this.grid.view);
    this.drawOrders();
    this.sorting.hidden = isOne || this.order.options.length < 2;
  }

  drawOrders() {
    const { columns, base, blind } = this.grid.data;
    const orders = [["row", "row"]];
    for (const [at, { label, score }] of columns.entries()) {
      if (!score || blind) continue;
      orders.push([`lowest ${at}`, `${label}: lowest first`], [`highest ${at}`, `${label}: highest first`]);
      if (at === base) continue;
      const against = columns[base].label;
      orders.push([`losses ${at}`, `${label} − ${against}: losses first`], [`gains ${at}`, `${label} − ${against}: gains first`]);
    }
    const known = JSON.stringify(orders);
    if (known === this.orders) return;
    this.orders = known;
    this.order.replaceChildren(...orders.map(([value, label]) => new Option(label, value)));
    this.order.value = this.grid.order;
  }

  // Say to a screen reader how far it is, now and then, and how it ended.
  tell() {
    const { data } = this.grid;
    const now = performance.now();
    if (data.isRunning && now - this.heardAt < 1000 * SAID_SECONDS) return;
    const ending = data.isRunning ? "" : `. ${(data.verdict ?? []).join(" ")}`;
    const said = `${data.ended} of ${data.answers} answers${ending}`;
    if (said === this.said) return;
    this.said = said;
    this.heardAt = now;
    this.heard.textContent = said;
  }
}
