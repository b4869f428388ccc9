// The line of an answer that is under way: Stop, what happens, tokens, tokens a second, seconds; and what the model
// thinks, folded. Every text is put in as text. When the answer has ended, its output becomes static.

const ENDS = ["restarting", "autorestarting", "terminating", "dead"];
const STOP_AGAIN_SECONDS = 5; // an interrupt can be lost, as in code of the notebook that catches it
const RATE_AFTER_SECONDS = 1; // the first tokens come in one piece
const SAID_SECONDS = 1; // then it stands there once, to be read or copied
const AGAIN = "The page was loaded again before the answer ended; %glm_history shows what it became.";

function element(tag, name, parent) {
  const made = document.createElement(tag);
  made.className = `glm-bar-${name}`;
  parent.append(made);
  return made;
}

// The kernel that runs the cell, where the front end gives it: JupyterLab and Notebook 7 do.
const kernelOf = (model) => model.widget_manager?.kernel;

// What the model of each bar has thought: a message may come before the bar is seen, and a bar may be seen twice.
const thoughts_of = new Map();

export default {
  initialize({ model }) {
    const key = model.get("key");
    const on_message = (message) => {
      if (message?.forget) thoughts_of.set(key, "");
      if (message?.thought) thoughts_of.set(key, (thoughts_of.get(key) ?? "") + message.thought);
    };
    model.on("msg:custom", on_message);
    return () => thoughts_of.delete(key);
  },

  render({ model, el }) {
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
    let over = ""; // why it goes on no more; this view then stays as it is, whatever the bar serves next
    let cell = null;

    const can_stop = () => !over && (model.get("background") || kernelOf(model)?.interrupt !== undefined);
    const happens = () => {
      const link = kernelOf(model)?.connectionStatus ?? "connected";
      return link === "connected" ? model.get("said") : "the page has lost the kernel";
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
    const on_message = () => {
      const at_end = thoughts.scrollHeight - thoughts.scrollTop - thoughts.clientHeight < 24;
      const known = thoughts.textContent;
      const text = thoughts_of.get(model.get("key")) ?? "";
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
    const on_stop = async () => {
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
    };
    const end = () => {
      over ||= `${model.get("title")} · the kernel has ended`;
      draw();
    };
    const on_status = (_kernel, status) => ENDS.includes(status) && end();

    stop.addEventListener("click", on_stop);
    model.on("change", draw);
    model.on("msg:custom", on_message);
    const kernel = kernelOf(model);
    kernel?.statusChanged?.connect(on_status);
    const clock = setInterval(() => {
      if (kernel?.isDisposed) end();
      else if (!over) draw();
      tell();
    }, 200);
    on_message();
    return () => {
      clearInterval(clock);
      clearTimeout(stop_again);
      model.off("change", draw);
      model.off("msg:custom", on_message);
      kernel?.statusChanged?.disconnect(on_status);
      // the focus must not get lost with the button
      if ([stop, document.body, null].includes(document.activeElement)) cell?.focus({ preventScroll: true });
    };
  },
};
