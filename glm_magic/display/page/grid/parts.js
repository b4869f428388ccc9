// Parts of the page that change in place. Every text is put in as text.

function element(tag, name, parent) {
  const made = document.createElement(tag);
  made.className = `glm-live-${name}`;
  parent?.append(made);
  return made;
}

function button(name, label, parent, on_click) {
  const made = element("button", name, parent);
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", (event) => {
    event.stopPropagation();
    on_click(event);
  });
  return made;
}

// Put in a text; if it has only grown, a selection in it stays.
function set(node, text) {
  const known = node.firstChild;
  if (node.childNodes.length === 1 && known.nodeType === Node.TEXT_NODE && text.startsWith(known.data)) {
    if (text.length > known.data.length) known.appendData(text.slice(known.data.length));
  } else if (node.textContent !== text || node.childElementCount) node.textContent = text;
}

function setDifferences(node, before, after) {
  node.replaceChildren(
    ...differences(before, after).map(({ kind, text }) => {
      if (kind === "same") return document.createTextNode(text);
      const made = element(kind === "out" ? "del" : "ins", kind);
      made.textContent = text;
      return made;
    }),
  );
}

function joined(facts) {
  return (facts ?? []).join(" · ");
}

// What stands in a cell in the place of an answer.
function words(answer) {
  if (answer.state === "failed") return answer.error ? `failed: ${answer.error}` : "failed";
  if (answer.state === "interrupted") return `${answer.text} [interrupted]`.trim();
  if (answer.state === "pending") return answer.error || "pending";
  if (answer.state === "waiting") return "not asked";
  return answer.text || (answer.state === "running" ? "…" : "(empty)");
}

function isBad(answer) {
  return answer.state === "failed" || answer.state === "interrupted";
}

// Pick, rate and note one answer.
class Judging {
  constructor(spot, grid, label, parent) {
    this.node = element("div", "judging", parent);
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", `Judge ${label}`);
    this.pick = button("pick", "Pick", this.node, () => grid.act("pick", spot));
    this.pick.title = "Make this the answer of the cell (p)";
    this.stars = [1, 2, 3, 4, 5].map((value) => {
      const star = button("star", String(value), this.node, () => grid.act("rate", spot, this.rating === value ? null : value));
      star.title = `Rate ${value} of 5 (${value})`;
      star.setAttribute("aria-label", `Rate ${value} of 5`);
      return star;
    });
    this.note = element("input", "note", this.node);
    this.note.placeholder = "note";
    this.note.setAttribute("aria-label", `Note on ${label}`);
    this.note.maxLength = 2000;
    this.note.addEventListener("change", () => grid.act("note", spot, this.note.value));
  }

  update(answer) {
    this.node.hidden = answer.state !== "done";
    this.rating = answer.rating;
    this.pick.setAttribute("aria-pressed", String(Boolean(answer.picked)));
    this.pick.textContent = answer.picked ? "Picked" : "Pick";
    for (const [at, star] of this.stars.entries()) star.setAttribute("aria-pressed", String(answer.rating === at + 1));
    if (document.activeElement !== this.note) this.note.value = this.note.defaultValue = answer.note ?? "";
  }
}
