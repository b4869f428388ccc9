// Knobs: a control for each setting, which says its value, where that comes from, and whether it is set at all.
// `ask` tells the kernel of a change, and returns what it says to that; the kernel's `rows` say what holds.

const WAIT_MS = 300; // after a key, before what is typed is set

function knobs(parent, ask, model) {
  const first = make("div", "knobs", parent);
  const fold = make("details", "more", parent);
  make("summary", "summary", fold, "more settings");
  const rest = make("div", "knobs", fold);
  const drawn = new Map();
  return (rows) => {
    for (const row of rows) {
      if (!drawn.has(row.name)) drawn.set(row.name, knob(row.first ? first : rest, row, ask, model));
      drawn.get(row.name)(row);
    }
    fold.hidden = !rest.childElementCount;
  };
}

function knob(parent, { name, kind, help, ...declared }, ask, model) {
  const el = make("div", `knob glm-kind-${kind}`, parent);
  el.dataset.name = name;
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", name);
  make("span", "name", el, name).title = help;
  const place = make("div", "control", el);
  const ends = make("div", "ends", el);
  const about = make("div", "about", el);
  const source = make("span", "source", about);
  make("span", "help", about, help);
  const fault = make("div", "fault", el);
  fault.setAttribute("role", "alert");

  let row = declared;
  let sending = false;
  let next = null; // what was turned meanwhile: only the last of it counts
  const tell = async (what, more) => {
    next = { what, more };
    if (sending) return;
    sending = true;
    while (next) {
      const now = next;
      next = null;
      const { why } = await ask(now.what, { name, ...now.more });
      fault.textContent = why;
      el.classList.toggle("glm-refused", why !== "");
      control.refused(why !== "");
    }
    sending = false;
    if (!el.classList.contains("glm-refused")) control.show(row);
  };
  const set = (text) => tell("set", { text });
  const control = CONTROLS[kind](place, set, { name, ...declared }, model, () => row);
  const unset = button("unset", ends, "not set", () => set(null));
  const reset = button("reset", ends, "reset", () => tell("reset", {}));
  reset.setAttribute("aria-label", `reset ${name}`);
  unset.setAttribute("aria-label", `${name} is not set`);

  return (now) => {
    row = now;
    el.classList.toggle("glm-not-set", row.value === null);
    unset.hidden = !row.optional;
    unset.setAttribute("aria-pressed", String(row.value === null));
    reset.disabled = !row.own;
    source.textContent = [row.source, row.about].filter(Boolean).join(" · ");
    if (sending) return;
    if (!next) fault.textContent = row.fault;
    el.classList.remove("glm-refused");
    control.refused(false);
    control.show(row);
  };
}

// A menu of presets, which sets what one holds, and a name under which to keep what is set; returns what shows them.
function presetRow(parent, ask, keeps) {
  const row = make("div", "row glm-preset", parent);
  make("span", "name", row, "preset");
  const place = make("div", "control", row);
  const menu = make("select", "menu", place);
  menu.setAttribute("aria-label", "take a preset");
  const said = make("div", "about", row);
  said.setAttribute("role", "status");
  const act = async (what, name) => {
    const { why, said: done } = await ask(what, { name });
    said.textContent = why || done || "";
  };
  menu.addEventListener("change", () => {
    if (menu.value) act("preset", menu.value);
    menu.value = "";
  });
  if (keeps) {
    const name = make("input", "input", place);
    name.placeholder = "name";
    name.setAttribute("aria-label", "name of a preset");
    button("keep", place, "Keep what is set", () => act("keep", name.value));
  }
  return (presets) => {
    row.hidden = !presets.length && !keeps;
    menu.hidden = !presets.length;
    const options = [new Option("take a preset", ""), ...presets.map((name) => new Option(name, name))];
    if (menu.options.length !== options.length || options.some((each, at) => each.value !== menu.options[at].value))
      menu.replaceChildren(...options);
  };
}

// --- the kinds of controls: each returns show(row) and refused(whether) ---------------------------------------------

function field(tag, place, name, set, { live = true } = {}) {
  const input = make(tag, "input", place);
  input.setAttribute("aria-label", name);
  input.placeholder = "not set";
  input.spellcheck = tag === "textarea" && name === "system";
  input.autocomplete = "off";
  let timer = 0;
  let typed = false;
  const send = (ended) => {
    clearTimeout(timer);
    timer = 0;
    if (typed) set(input.value);
    if (ended) typed = false;
  };
  input.addEventListener("input", () => {
    typed = true;
    clearTimeout(timer);
    if (live) timer = setTimeout(send, WAIT_MS, false);
  });
  input.addEventListener("change", () => send(true));
  if (tag === "input")
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") send(true);
    });
  return {
    input,
    show: (value) => {
      if (typed && document.activeElement === input) return; // the person is still at it
      if (input.value !== (value ?? "")) input.value = value ?? "";
    },
    refused: (is) => input.setAttribute("aria-invalid", String(is)),
  };
}

// Nothing typed means "not set"; only where a text may be empty is an empty one a value.
const unlessEmpty = (set) => (text) => set(text.trim() === "" ? null : text);

const CONTROLS = {
  text(place, set, { name, range }) {
    const typed = field("input", place, name, unlessEmpty(set), { live: range !== "" });
    return { show: (row) => typed.show(row.value), refused: typed.refused };
  },

  lines(place, set, { name }) {
    const typed = field("textarea", place, name, set);
    typed.input.rows = name === "system" ? 4 : 1;
    const show = (row) => {
      typed.show(row.value);
      typed.input.placeholder = row.value === null ? "not set" : "empty";
    };
    return { show, refused: typed.refused };
  },

  slider(place, set, { name, low, high, step }, _model, row) {
    const range = make("input", "range", place);
    Object.assign(range, { type: "range", min: low, max: high, step, value: (low + high) / 2 });
    range.setAttribute("aria-label", `${name}, slider`);
    range.dataset.lmSuppressShortcuts = "true";
    const typed = field("input", place, name, unlessEmpty(set));
    typed.input.inputMode = "decimal";
    let held = false;
    const turn = () => {
      typed.input.value = range.value;
      range.setAttribute("aria-valuetext", range.value);
      set(range.value);
    };
    range.addEventListener("pointerdown", () => (held = true));
    range.addEventListener("input", turn);
    range.addEventListener("pointerup", () => {
      held = false;
      if (row().value === null && typed.input.value === "") turn(); // also where the handle stood already
    });
    const show = (now) => {
      if (held) return;
      typed.show(now.value);
      range.max = now.high; // the model decides
      range.value = now.value ?? (low + now.high) / 2;
      range.setAttribute("aria-valuetext", now.value ?? "not set");
    };
    return { show, refused: typed.refused };
  },

  model(place, set, { name }, model) {
    const typed = field("input", place, name, unlessEmpty(set), { live: false });
    const menu = make("select", "menu", place);
    menu.setAttribute("aria-label", "known models");
    menu.addEventListener("change", () => {
      if (menu.value) set(menu.value);
      menu.value = "";
    });
    let listed = null;
    const list = () => {
      if (listed === model.get("models")) return;
      listed = model.get("models");
      const known = listed.map(({ name, about }) => new Option(about ? `${name} · ${about}` : name, name));
      menu.replaceChildren(new Option("known models", ""), ...known);
    };
    const show = (row) => {
      list();
      typed.show(row.value);
    };
    return { show, refused: typed.refused };
  },

  buttons(place, set, { name, choices }) {
    const group = make("div", "choices", place);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", name);
    const buttons = choices.map((choice) => button("choice", group, choice, () => set(choice)));
    const show = (row) => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each.textContent === row.value));
    };
    return { show, refused: () => {} };
  },

  menu(place, set, { name, choices }) {
    const menu = make("select", "menu", place);
    menu.setAttribute("aria-label", name);
    menu.append(new Option("not set", ""), ...choices.map((choice) => new Option(choice, choice)));
    menu.addEventListener("change", () => set(menu.value || null));
    return { show: (row) => (menu.value = row.value ?? ""), refused: () => {} };
  },
};
