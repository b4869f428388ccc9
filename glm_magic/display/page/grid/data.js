// The values of one grid, as the kernel sends them: first the whole, then what has changed.

const ENDED = ["done", "failed", "interrupted"];

class Data {
  constructor(whole) {
    const { rows, shape, patch } = whole;
    this.isBackground = whole.background;
    this.isRunning = whole.running;
    this.rows = rows.map(([number, values], at) => ({
      number,
      values,
      flags: {},
      cells: shape[Math.min(at, shape.length - 1)].map((repeats) => ({
        shown: 0,
        value: null,
        marks: [],
        answers: Array.from({ length: repeats }, () => ({ state: "waiting", text: "", deltas: 0 })),
      })),
    }));
    this.counts = { failed: 0, different: 0, rated: 0 };
    this.answers = this.rows.reduce((sum, row) => sum + row.cells.reduce((all, cell) => all + cell.answers.length, 0), 0);
    this.ended = 0;
    this.patches = 0;
    this.hasMissed = false;
    this.take(patch);
  }

  // Take a patch; return the rows that it changes.
  take(patch) {
    const changed = new Set();
    if (patch.number !== undefined && patch.number !== this.patches++) {
      this.hasMissed = true;
      this.patches = patch.number + 1;
    }
    for (const name of ["title", "verdict", "columns", "baseline", "blind", "more"]) {
      if (patch[name] !== undefined) this[name] = patch[name];
    }
    if (patch.running !== undefined) this.isRunning = patch.running;
    for (const [row, column, repeat, answer] of patch.answers ?? []) {
      const { answers } = this.rows[row].cells[column];
      this.ended += ENDED.includes(answer.state) - ENDED.includes(answers[repeat].state);
      answers[repeat] = { text: "", deltas: 0, ...answer };
      changed.add(row);
    }
    for (const [row, column, shown, value, marks] of patch.cells ?? []) {
      Object.assign(this.rows[row].cells[column], { shown, value, marks });
      changed.add(row);
    }
    for (const [row, column, repeat, number, text] of patch.grown ?? []) {
      const cell = this.rows[row].cells[column];
      const answer = cell.answers[repeat];
      // what came before the script was loaded is lost; the whole text comes with the end of the answer
      answer.text += number > answer.deltas ? `… ${text}` : text;
      answer.deltas = number + 1;
      if (answer.state === "waiting") answer.state = "running";
      if (cell.answers[cell.shown].state === "waiting") cell.shown = repeat;
      changed.add(row);
    }
    for (const row of changed) this.judge(this.rows[row]);
    return changed;
  }

  // Note what the filters ask of a row.
  judge(row) {
    const texts = new Set();
    let failed = false;
    let rated = false;
    for (const cell of row.cells) {
      const shown = cell.answers[cell.shown];
      if (shown?.state === "done") texts.add(shown.text.trim());
      for (const answer of cell.answers) {
        failed ||= answer.state === "failed";
        rated ||= answer.rating !== undefined;
      }
    }
    const flags = { failed, different: texts.size > 1, rated };
    for (const name of Object.keys(flags)) this.counts[name] += flags[name] - (row.flags[name] ?? false);
    row.flags = flags;
  }

  // The column that the others are compared with: of a blind grid none is known, so the first.
  get base() {
    return this.blind ? 0 : this.baseline;
  }
}

// Rows in the order asked for; rows without a value come last.
function sorted(rows, order, base) {
  const [by, column] = order.split(" ");
  const of = (row, at) => row.cells[at]?.value ?? NaN;
  const value = {
    lowest: (row) => of(row, column),
    highest: (row) => -of(row, column),
    losses: (row) => of(row, column) - of(row, base),
    gains: (row) => of(row, base) - of(row, column),
  }[by];
  if (!value) return rows;
  const last = (number) => (Number.isNaN(number) ? Infinity : number);
  return [...rows].sort((a, b) => {
    const [one, other] = [last(value(a)), last(value(b))];
    return one === other ? a.number - b.number : one - other;
  });
}
