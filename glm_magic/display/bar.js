// The line of an answer that is under way: Stop, what happens, tokens, tokens a second, seconds; and what the model
// thinks, folded. Every text is put in as text. When the answer has ended, its output becomes static.

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
    const line = element("div", "line", el);
    const stop = element("button", "stop", line);
    stop.type = "button";
    const label = element("span", "label", stop);
    const said = element("span", "said", line);
    said.setAttribute("role", "status");
    const counts = element("span", "counts", line);
    const marks = element("span", "marks", line);
    const fold = element("details", "thinking", el);
    const summary = element("summary", "summary", fold);
    const thoughts = element("div", "thoughts", fold);

    const begun = performance.now() - 1000 * model.get("seconds");
    let stopping = false;
    let ended = false;

    const can_stop = () => !ended && (model.get("background") || kernelOf(model)?.interrupt !== undefined);
    const draw = () => {
      const seconds = (performance.now() - begun) / 1000;
      const tokens = model.get("tokens");
      const rate = tokens / Math.max(seconds - model.get("first_token_seconds"), 0.1);
      stop.hidden = !can_stop();
      stop.disabled = stopping;
      label.textContent = stopping ? "Stopping" : "Stop";
      stop.title = stopping && model.get("background") ? "Stops as soon as the kernel is free" : "Stop this answer";
      stop.setAttribute("aria-label", `${label.textContent} the answer of ${model.get("title")}`);
      const what = `${model.get("title")} · ${ended ? "the kernel has ended" : model.get("said")}`;
      if (said.textContent !== what) said.textContent = what; // a screen reader reads each change, so only changes
      counts.textContent = ended
        ? ""
        : [tokens ? `~${tokens} tokens` : "", tokens > 3 ? `${rate.toFixed(0)} tokens/s` : "", `${seconds.toFixed(1)} s`]
            .filter(Boolean)
            .map((text) => ` · ${text}`)
            .join("");
      marks.textContent = model.get("marks").map((text) => ` · ${text}`).join("");
      const thought = thoughts.textContent.length;
      fold.hidden = thought === 0;
      summary.textContent = `Thinking · ${thought} characters`;
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
    const on_stop = async () => {
      stopping = true;
      draw();
      if (model.get("background")) model.send({ stop: true });
      else await kernelOf(model).interrupt(); // never together with a message: the later of the two would hit the next cell
    };
    const on_status = (_kernel, status) => {
      if (!["restarting", "autorestarting", "terminating", "dead"].includes(status)) return;
      ended = true;
      draw();
    };

    stop.addEventListener("click", on_stop);
    model.on("change", draw);
    model.on("msg:custom", on_message);
    kernelOf(model)?.statusChanged?.connect(on_status);
    const clock = setInterval(() => !ended && draw(), 200);
    on_message();
    return () => {
      clearInterval(clock);
      model.off("change", draw);
      model.off("msg:custom", on_message);
      kernelOf(model)?.statusChanged?.disconnect(on_status);
    };
  },
};
