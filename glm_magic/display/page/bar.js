// The line of an answer that is under way: Stop, what happens, tokens, tokens a second, seconds; and what the model
// thinks, folded. It is drawn over the static line that carries its key, so that the saved file holds the static line
// alone. Every text is put in as text. When the answer has ended, its output becomes another static line.

const ENDS = ["restarting", "autorestarting", "terminating", "dead"];
const STOP_AGAIN_SECONDS = 5; // an interrupt can be lost, as in code of the notebook that catches it
const RATE_AFTER_SECONDS = 1; // the first tokens come in one piece
const SAID_SECONDS = 1; // then it stands there once, to be read or copied
const LOOK_SECONDS = 0.1; // a static line has just appeared, or is gone
const IDLE_LOOK_SECONDS = 1; // it may still appear, in a page that is loaded again
const AGAIN = "The page was loaded again before the answer ended; %glm_history shows what it became.";

function element(tag, name, parent) {
  const made = document.createElement(tag);
  made.className = `glm-bar-${name}`;
  parent.append(made);
  return made;
}

// The kernel that runs the cell, where the front end gives it: JupyterLab and Notebook 7 do.
const kernelOf = (model) => model.widget_manager?.kernel;

// Draws the bar over the static line `el`. `thinking()` is what the model has thought.
function drawn(model, el, thinking) {
  el.removeAttribute("style");
  el.replaceChildren();
  el.classList.add("glm-bar");
  el.setAttribute("role", "group");
  const line = element("div", "line", el);
  const stop = element("button", "stop", line);
  stop.type = "button";
  const label = element("span", "label", stop);
  const said = element("span", "said", line);
  const heard = element("span", "heard", line);
  heard.setAttribute("role", "status"); // what a screen reader says at once: steps, and not each second of them
  const counts = element("span", "counts", line);
  const marks = element("span", "marks", line);
  const fold = element("details", "thinking", el);
  const summary = element("summary", "summary", fold);
  const thoughts = element("div", "thoughts", fold);
  thoughts.tabIndex = 0; // what scrolls must be reached by the keyboard
  thoughts.setAttribute("aria-label", "What the model thinks");
  // else JupyterLab takes Enter for its own
  for (const reached of [stop, summary, thoughts]) reached.dataset.lmSuppressShortcuts = "true";

  const begun = performance.now() - 1000 * model.get("seconds");
  let stopping = false;
  let stop_again = 0;
  let told = "";
  let told_at = 0;
  let over = ""; // why it goes on no more; this line then stays as it is, whatever the bar serves next
  let cell = null;

  const can_stop = () => !over && (model.get("background") || kernelOf(model)?.interrupt !== undefined);
  const happens = () => {
    const link = kernelOf(model)?.connectionStatus ?? "connected";
    return link === "connected" ? model.get("status") : "the page has lost the kernel";
  };
  const draw = () => {
    const seconds = (performance.now() - begun) / 1000;
    const tokens = model.get("tokens");
    const answering = seconds - model.get("first_token_seconds");
    const name = model.get("title");
    if (!over && model.get("over")) over = `${model.get("over")} · ${AGAIN}`;
    const what = over || `${name} · ${happens()}`;
    if (said.textContent !== what) said.textContent = what;
    if (over) {
      for (const gone of [stop, counts, marks, fold]) gone.hidden = true;
      return;
    }
    el.setAttribute("aria-label", `The answer of ${name}`);
    stop.hidden = !can_stop();
    stop.setAttribute("aria-disabled", String(stopping)); // and not disabled: it keeps the keyboard's focus
    label.textContent = stopping ? "Stopping" : "Stop";
    stop.title = stopping && model.get("background") ? "Stops as soon as the kernel is free" : "Stop this answer";
    stop.setAttribute("aria-label", `${label.textContent} the answer of ${name}`);
    counts.textContent = [
      tokens ? `~${tokens} tokens` : "",
      tokens && answering > RATE_AFTER_SECONDS ? `${(tokens / answering).toFixed(0)} tokens/s` : "",
      `${seconds.toFixed(1)} s`,
    ]
      .filter(Boolean)
      .map((text) => ` · ${text}`)
      .join("");
    marks.textContent = model.get("marks").map((text) => ` · ${text}`).join("");
    const thought = thoughts.textContent.length;
    fold.hidden = thought === 0;
    summary.textContent = `Thinking · ${thought} characters`;
  };
  const tell = () => {
    const step = said.textContent.replace(/\d+/g, "");
    if (step !== told) {
      told = step;
      told_at = performance.now();
      heard.textContent = said.textContent;
    } else if (performance.now() - told_at > 1000 * SAID_SECONDS) heard.textContent = "";
  };
  const think = () => {
    const at_end = thoughts.scrollHeight - thoughts.scrollTop - thoughts.clientHeight < 24;
    const known = thoughts.textContent;
    const text = thinking();
    if (text.startsWith(known)) thoughts.append(text.slice(known.length)); // a selection in it stays
    else thoughts.textContent = text;
    thoughts.normalize();
    if (at_end) thoughts.scrollTop = thoughts.scrollHeight;
    draw();
  };
  const allow_stop = () => {
    stopping = false;
    draw();
  };
  stop.addEventListener("click", async () => {
    if (stopping || !can_stop()) return;
    stopping = true;
    draw();
    if (document.activeElement === stop) cell = el.closest(".jp-Cell");
    if (model.get("background")) {
      model.send({ stop: true });
      return;
    }
    stop_again = setTimeout(allow_stop, 1000 * STOP_AGAIN_SECONDS);
    // never together with a message: the later of the two would hit the next cell
    await kernelOf(model).interrupt().catch(allow_stop);
  });
  think();
  return {
    draw,
    think,
    tell,
    end() {
      over ||= `${model.get("title")} · the kernel has ended`;
      draw();
    },
    leave() {
      clearTimeout(stop_again);
      // the focus must not get lost with the button
      if ([stop, document.body, null].includes(document.activeElement)) cell?.focus({ preventScroll: true });
    },
  };
}

export default {
  initialize({ model }) {
    const kernel = kernelOf(model);
    const bars = new Map(); // by static line: an output may be seen twice
    let thought = "";
    let timer = 0;
    let has_ended = false;

    const leave = (el) => {
      bars.get(el).leave();
      bars.delete(el);
    };
    const look = () => {
      for (const el of bars.keys()) if (!el.isConnected) leave(el);
      const key = model.get("key");
      if (!key) return;
      for (const el of document.querySelectorAll(`[data-glm-bar="${CSS.escape(key)}"]`)) {
        if (!bars.has(el)) bars.set(el, drawn(model, el, () => thought));
      }
    };
    const end = () => {
      has_ended = true;
      for (const bar of bars.values()) bar.end();
    };
    const go_on = () => {
      clearTimeout(timer);
      if (kernel?.isDisposed) end();
      if (!has_ended) look();
      for (const bar of bars.values()) {
        bar.draw();
        bar.tell();
      }
      const is_idle = has_ended || !model.get("key") || model.get("over");
      timer = setTimeout(go_on, 1000 * (is_idle ? IDLE_LOOK_SECONDS : LOOK_SECONDS));
    };
    const on_key = () => [...bars.keys()].forEach(leave);
    const on_message = (message) => {
      if (message?.forget) thought = "";
      if (message?.thought) thought += message.thought;
      for (const bar of bars.values()) bar.think();
    };
    const on_status = (_kernel, status) => ENDS.includes(status) && end();

    model.on("change:key", on_key);
    model.on("change", go_on);
    model.on("msg:custom", on_message);
    kernel?.statusChanged?.connect(on_status);
    go_on();
    return () => {
      clearTimeout(timer);
      model.off("change:key", on_key);
      model.off("change", go_on);
      model.off("msg:custom", on_message);
      kernel?.statusChanged?.disconnect(on_status);
      on_key();
    };
  },
};
