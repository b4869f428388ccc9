// The playground: the prompt in a box, the names in its templates as fields, knobs, Run and Stop, and the last
// attempts beside each other. The answer itself streams below it, as every answer does.

const TYPED_MS = 300;

export default overlay(playground);

function playground(model, ask) {
  const el = make("div", "view glm-playground", null);
  const prompt = make("textarea", "prompt", el);
  prompt.setAttribute("aria-label", "prompt");
  prompt.placeholder = "The prompt; {{ name }} inserts a value.";
  prompt.spellcheck = true;
  prompt.dataset.lmSuppressShortcuts = "true"; // Shift+Enter would run the cell, and empty the box
  const names = fieldsOf(model, el);
  const acts = make("div", "acts", el);
  const fault = make("div", "fault", el);
  fault.setAttribute("role", "alert");
  const fold = make("details", "parameters", el);
  fold.open = true;
  make("summary", "summary", fold, "parameters");
  const presets = presetRow(fold, ask, false);
  const turn = knobs(fold, ask, model);
  const flags = copied(el, "as a cell", "ask", () => `${model.get("line")}\n${prompt.value}`);
  const tried = attemptsOf(el, ask);

  let timer = 0;
  const typed = () => {
    clearTimeout(timer);
    timer = 0;
    model.set("prompt", prompt.value);
    model.save_changes();
  };
  prompt.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(typed, TYPED_MS);
  });
  const act = async (what, more) => {
    said.textContent = model.widget_manager?.kernel?.status === "busy" ? "Waiting for the kernel" : "";
    typed();
    const answer = await ask(what, more);
    said.textContent = "";
    fault.textContent = answer.why;
    return answer;
  };
  const on_run = () => {
    if (!run.disabled) act("run", { prompt: prompt.value });
  };
  const run = button("run", acts, "Run", on_run);
  run.title = "Ask this (Ctrl+Enter)";
  const stop = button("stop", acts, "Stop", () => act("stop"));
  button("insert", acts, "Insert as cell", async () => {
    const { cells, why } = await act("insert", { prompt: prompt.value });
    if (!why) said.textContent = insertBelow(model, el.dataset.cell, cells) || "Put below, not run.";
  });
  const said = make("span", "said", acts);
  said.setAttribute("role", "status");
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    on_run();
  });

  const changed = settling(el, ask);
  let before = "";
  const draw = () => {
    const now = JSON.stringify([model.get("line"), model.get("attempts"), model.get("prompt")]);
    if (before && before !== now) changed();
    before = now;
    if (!timer && prompt.value !== model.get("prompt")) prompt.value = model.get("prompt");
    names(model.get("fields"));
    presets(model.get("presets"));
    turn(model.get("rows"));
    flags(model.get("line"));
    fault.textContent = model.get("fault");
    run.disabled = model.get("running");
    stop.hidden = !model.get("running");
    tried(model.get("attempts"));
  };
  draw.element = el;
  return draw;
}

// The names in the templates: each is a control of ipywidgets, which the kernel has made for the kind of its value.
function fieldsOf(model, parent) {
  const place = make("div", "fields", parent);
  const drawn = new Map();
  return (fields) => {
    for (const [name, row] of drawn) {
      if (fields.some((each) => each.name === name && each.widget === row.widget)) continue;
      row.element.remove();
      drawn.delete(name);
    }
    for (const { name, about, widget } of fields) {
      if (!drawn.has(name)) {
        const element = make("div", "row", place);
        element.dataset.name = name;
        make("span", "name", element, name);
        const slot = make("div", "slot", element);
        const note = make("span", "about", element);
        drawn.set(name, { element, widget, note });
        if (widget) put(model, widget, slot, name);
      }
      drawn.get(name).note.textContent = about;
    }
  };
}

async function put(model, id, slot, name) {
  const manager = model.widget_manager;
  const view = await manager.create_view(await manager.get_model(id));
  slot.replaceChildren(view.el);
  for (const each of view.el.querySelectorAll("input, textarea")) {
    each.setAttribute("aria-label", name);
    if (each.type === "checkbox") each.dataset.lmSuppressShortcuts = "true";
  }
}

// The last attempts, with what was set for each; Diff marks what the answer changed against the one before it.
function attemptsOf(parent, ask) {
  const place = make("div", "tried", parent);
  let shown = "";
  return (attempts) => {
    const now = JSON.stringify(attempts);
    if (now === shown) return;
    shown = now;
    place.replaceChildren();
    if (attempts.length < 2) return; // the one stands below
    attempts.forEach((attempt, at) => {
      const { number, active, facts, prompt, answer } = attempt;
      const el = make("div", "attempt", place);
      el.setAttribute("role", "group");
      el.setAttribute("aria-label", `attempt ${number}`);
      const head = make("div", "attempt-head", el);
      make("b", "number", head, `attempt ${number}${active ? ", active" : ""}`);
      make("div", "facts", el, facts);
      make("div", "asked", el, prompt);
      const text = make("div", "answer", el, answer);
      text.tabIndex = 0;
      if (!at) return;
      const diff = button("diff", head, "Diff", async () => {
        const on = diff.getAttribute("aria-pressed") !== "true";
        diff.setAttribute("aria-pressed", String(on));
        text.textContent = on ? "" : answer;
        if (!on) return;
        const { pieces } = await ask("diff", { old: attempts[at - 1].number, new: number });
        for (const [old, fresh] of pieces ?? []) {
          if (old === fresh) text.append(old);
          else {
            if (old) make("del", "out", text, old);
            if (fresh) make("ins", "in", text, fresh);
          }
        }
      });
      diff.setAttribute("aria-pressed", "false");
      diff.title = `against attempt ${attempts[at - 1].number}`;
    });
  };
}
