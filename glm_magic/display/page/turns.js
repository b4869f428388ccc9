// The turns of a chat: a tick sends a turn, or skips it; above them, how much of the context window they fill.

export default overlay((model, ask) => {
  const el = make("div", "view glm-turns", null);
  const title = make("div", "name", el);
  const bar = make("progress", "window", el);
  const said = make("div", "about", el);
  const list = make("div", "list", el);
  const fault = make("div", "fault", el);
  fault.setAttribute("role", "alert");
  const rows = new Map(); // by number
  const draw = () => {
    const state = model.get("state");
    title.textContent = `Chat ${state.chat ?? ""}`;
    said.textContent = state.said ?? "";
    bar.hidden = !state.most;
    bar.max = state.most || 1;
    bar.value = Math.min(state.used ?? 0, bar.max);
    bar.setAttribute("aria-label", state.said ?? "");
    const turns = state.turns ?? [];
    if (turns.map((turn) => turn.number).join() !== [...rows.keys()].join()) {
      list.replaceChildren();
      rows.clear();
      for (const turn of turns) rows.set(turn.number, turnRow(list, turn.number, ask, fault));
    }
    for (const turn of turns) rows.get(turn.number)(turn);
  };
  return Object.assign(draw, { element: el });
});

// One turn; returns what shows its state.
function turnRow(parent, number, ask, fault) {
  const row = make("label", "turn", parent);
  const tick = make("input", "tick", row);
  tick.type = "checkbox";
  make("span", "number", row, number);
  const asked = make("span", "asked", row);
  const size = make("span", "size", row);
  const state = make("span", "state", row);
  tick.addEventListener("change", async () => {
    const { why } = await ask("tick", { number, ticked: tick.checked });
    fault.textContent = why ?? "";
    if (why) tick.checked = !tick.checked;
  });
  return (turn) => {
    asked.textContent = turn.asked;
    size.textContent = turn.tokens;
    state.textContent = turn.state;
    tick.checked = turn.ticked;
    tick.setAttribute("aria-label", `send turn ${number}`);
  };
}
