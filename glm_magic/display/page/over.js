// Draws live controls over static outputs. The outputs keep their HTML, which is what a notebook saves; the controls
// stand in it while the kernel lives. Every text is put in as text.

const SETTLE_MS = 300;
const OVER = ["restarting", "autorestarting", "terminating", "dead"];

function make(tag, name, parent, text = "") {
  const made = document.createElement(tag);
  made.className = `glm-${name}`;
  if (text) made.textContent = text;
  // else JupyterLab takes Enter and the arrows for its own; it knows by itself what can be typed into
  if (["button", "select", "summary"].includes(tag)) made.dataset.lmSuppressShortcuts = "true";
  parent?.append(made);
  return made;
}

function button(name, parent, text, on_click) {
  const made = make("button", name, parent, text);
  made.type = "button";
  made.classList.add("glm-button");
  made.addEventListener("click", on_click);
  return made;
}

// Calls draw(host) for each marked output, and removes what it drew when the kernel ends. `draw` returns an element.
function drawOver(model, draw) {
  const marked = document.getElementsByClassName(`glm-over-${model.get("key")}`);
  const kernel = model.widget_manager?.kernel;
  const drawn = new Map(); // by output
  let focused = null; // within what is drawn: an output that is shown anew takes the focus away
  const look = () => {
    const free = [];
    for (const [host, view] of drawn) {
      if (host.isConnected) continue;
      drawn.delete(host);
      free.push(view);
    }
    for (const host of marked) {
      if (drawn.has(host)) continue;
      const view = free.pop() ?? draw();
      view.dataset.cell = host.dataset.cell ?? "";
      host.classList.add("glm-drawn");
      host.append(view);
      drawn.set(host, view);
      if (view.contains(focused) && !document.activeElement?.matches(":read-write")) focused.focus({ preventScroll: true });
    }
  };
  const observer = new MutationObserver(look); // before the next key: none may get lost
  const on_focus = (event) => (focused = event.target);
  const end = () => {
    observer.disconnect();
    document.removeEventListener("focusin", on_focus);
    kernel?.statusChanged?.disconnect(on_status);
    kernel?.disposed?.disconnect(end);
    for (const [host, view] of drawn) {
      view.remove();
      host.classList.remove("glm-drawn");
    }
    drawn.clear();
  };
  const on_status = (_kernel, status) => OVER.includes(status) && end();
  kernel?.statusChanged?.connect(on_status);
  kernel?.disposed?.connect(end); // it was shut down
  document.addEventListener("focusin", on_focus);
  observer.observe(document.body, { childList: true, subtree: true });
  look();
  return end;
}

// Returns what notes a change. It then has the kernel renew the static output, which is what is saved: not while a
// person types, since a front end shows the output anew for that.
function settling(view, ask) {
  let dirty = false;
  let timer = 0;
  const isTyping = () => {
    const at = document.activeElement;
    return view.contains(at) && at.matches("textarea, input:not([type=range], [type=checkbox])");
  };
  const settle = () => {
    if (!dirty || isTyping()) return;
    dirty = false;
    ask("settle");
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(settle, SETTLE_MS);
  };
  view.addEventListener("focusout", soon);
  return () => {
    dirty = true;
    soon();
  };
}

// Asks the kernel to do something; the promise holds its answer.
function asker(model) {
  const waiting = new Map();
  const own = Math.random().toString(36).slice(2); // two pages may show the same controls
  let count = 0;
  model.on("msg:custom", (message) => {
    waiting.get(message?.to)?.(message);
    waiting.delete(message?.to);
  });
  return (what, more = {}) =>
    new Promise((resolve) => {
      const id = `${own}-${++count}`;
      waiting.set(id, resolve);
      model.send({ do: what, id, ...more });
    });
}

// Returns a widget that draws what `create(model, ask)` makes over each of its outputs. `create` returns a function that
// shows what the model holds; its `element` is what is drawn.
function overlay(create) {
  return {
    initialize({ model }) {
      const ask = asker(model);
      const shows = new Set();
      const show = () => {
        for (const each of shows) each();
      };
      model.on("change", show);
      const end = drawOver(model, () => {
        const draw = create(model, ask);
        shows.add(draw);
        draw();
        return draw.element;
      });
      return () => {
        end();
        model.off("change", show);
      };
    },
  };
}

// Puts cells below the one with this id; returns why not, where it did not.
function insertBelow(model, cell, sources) {
  const notebook = model.widget_manager?.context?.model?.sharedModel;
  const at = notebook?.cells?.findIndex((each) => each.id === cell) ?? -1;
  if (at < 0 || typeof notebook.insertCells !== "function") return "The front end lets no cell be inserted: copy it.";
  const below = notebook.cells.slice(at + 1, at + 1 + sources.length).map((each) => each.getSource());
  if (JSON.stringify(below) === JSON.stringify(sources)) return "It stands below already.";
  notebook.insertCells(
    at + 1,
    sources.map((source) => ({ cell_type: "code", source, metadata: { trusted: true } })),
  );
  return "";
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", "copied", document.body);
    area.value = text;
    area.select();
    const done = document.execCommand("copy"); // where a page is not served over https
    area.remove();
    return done;
  }
}

// A line of code with a Copy, which copies what `whole` returns; returns what sets the line.
function copied(parent, name, what, whole = null) {
  const row = make("div", "row", parent);
  make("span", "name", row, name);
  const line = make("code", `line glm-line-${what}`, row);
  const press = button("copy", row, "Copy", async () => {
    const done = await copy(whole ? whole() : line.textContent);
    press.textContent = done ? "Copied" : "Select it, and copy";
    setTimeout(() => (press.textContent = "Copy"), 1500);
  });
  press.setAttribute("aria-label", `Copy ${name}`);
  return (text) => (line.textContent = text);
}
