// The JupyterLab extension of glm_magic, written by hand: it needs no build. It shows a %%glm cell as Markdown instead
// of Python, with the magic's line and the templates picked out. What is typed stays as it is. At the end of the line
// above an answer stand Copy and Run again; they are drawn on the page alone, and never reach the notebook.
//
// JupyterLab loads this file as a container of webpack's module federation: `init` gets the packages that it shares,
// and `get` returns a module.

(() => {
  "use strict";

  const MAGIC = /^%%glm(?:[ \t].*)?$/;
  const MARKDOWN = "text/x-ipythongfm";
  const TURN = "application/vnd.glm-magic.turn+json";
  const SAID_SECONDS = 1.5;
  let shared = null;

  // --- the packages that JupyterLab shares, chosen as webpack does for those of which there is one ----------------

  function isBefore(one, other) {
    const [a, b] = [one, other].map((version) => version.split(/[-+]/)[0].split(".").map(Number));
    const at = a.findIndex((number, place) => number !== b[place]);
    return at >= 0 && a[at] < b[at];
  }

  async function load(name) {
    const versions = shared[name] ?? {};
    const version = Object.keys(versions).reduce(
      (chosen, each) => (!chosen || (!versions[chosen].loaded && isBefore(chosen, each)) ? each : chosen),
      "",
    );
    if (!version) throw new Error(`glm_magic: this front end does not share ${name}`);
    return (await versions[version].get())();
  }

  // --- what stands where in a prompt ------------------------------------------------------------------------------

  const isPrompt = (first) => MAGIC.test(first);

  // The offset after the }} that ends the template at `start`: the first outside of strings and brackets; -1 if none.
  function templateEnd(text, start) {
    let depth = 0;
    let quote = "";
    for (let at = start + 2; at < text.length; at++) {
      const sign = text[at];
      if (quote) {
        if (sign === "\\") at++;
        else if (sign === quote || sign === "\n") quote = "";
      } else if (sign === '"' || sign === "'") quote = sign;
      else if (depth === 0 && sign === "}") return text[at + 1] === "}" ? at + 2 : -1;
      else if ("([{".includes(sign)) depth++;
      else if (")]}".includes(sign)) depth--;
    }
    return -1;
  }

  function* parts(text) {
    const lineEnd = text.indexOf("\n") < 0 ? text.length : text.indexOf("\n");
    yield ["glm-cell-line", 0, lineEnd];
    yield ["glm-cell-magic", 0, "%%glm".length];
    const line = text.slice(0, lineEnd);
    for (const option of line.matchAll(/(?<=\s)--?[a-zA-Z][\w-]*/g)) {
      yield ["glm-cell-option", option.index, option.index + option[0].length];
    }
    if (/\s--raw(?=\s|$)/.test(line)) return;
    const names = /\s--variants(?=\s|$)/.test(line) ? [...text.matchAll(/^--- \S.*$/gm)] : [];
    const found = names.map((name) => ["glm-cell-variant", name.index, name.index + name[0].length]);
    for (let at = text.indexOf("{{"); at >= 0; at = text.indexOf("{{", at)) {
      const end = templateEnd(text, at);
      if (end > 0) found.push(["glm-cell-template", at, end]);
      at = end > 0 ? end : at + 2;
    }
    yield* found.sort((one, other) => one[1] - other[1]);
  }

  // --- the extension ----------------------------------------------------------------------------------------------

  function marking({ Decoration, EditorView, ViewPlugin }) {
    const marks = (doc) => {
      if (!isPrompt(doc.line(1).text)) return Decoration.none;
      const ranges = [...parts(doc.toString())];
      return Decoration.set(
        ranges.map(([name, from, to]) => Decoration.mark({ class: name }).range(from, to)),
        true,
      );
    };
    const plugin = ViewPlugin.fromClass(
      class {
        constructor(view) {
          this.decorations = marks(view.state.doc);
        }
        update(update) {
          if (update.docChanged) this.decorations = marks(update.state.doc);
        }
      },
      { decorations: (value) => value.decorations },
    );
    const all = (color) => ({ color: `var(${color}) !important`, textDecoration: "none !important" });
    const theme = EditorView.baseTheme({
      ".glm-cell-line *": { color: "var(--jp-content-font-color1)", fontStyle: "normal", fontWeight: "normal" },
      ".glm-cell-magic, .glm-cell-magic *": { ...all("--jp-mirror-editor-keyword-color"), fontWeight: "bold" },
      ".glm-cell-option, .glm-cell-option *": all("--jp-mirror-editor-attribute-color"),
      ".glm-cell-variant, .glm-cell-variant *": { ...all("--jp-mirror-editor-header-color"), fontWeight: "bold" },
      ".glm-cell-template": {
        backgroundColor: "color-mix(in srgb, var(--jp-brand-color1) 14%, transparent)",
        borderRadius: "2px",
      },
      ".glm-cell-template, .glm-cell-template *": all("--jp-mirror-editor-variable-2-color"),
    });
    return [plugin, theme];
  }

  // Sets the type of the cells' text: Markdown for a prompt, and else the notebook's own.
  function followNotebook(panel) {
    const notebook = panel.content;
    const followed = new WeakSet();
    const follow = (model) => {
      if (!model || model.type !== "code") return;
      const show = () => {
        const first = model.sharedModel.getSource().split("\n", 1)[0];
        const wanted = isPrompt(first) ? MARKDOWN : notebook.codeMimetype;
        const isOurs = model.mimeType === MARKDOWN || wanted === MARKDOWN;
        if (isOurs && model.mimeType !== wanted) model.mimeType = wanted;
      };
      if (!followed.has(model)) {
        followed.add(model);
        model.contentChanged.connect(show);
        model.mimeTypeChanged.connect(show); // the kernel says which language it is, also later
      }
      show();
    };
    const followAll = () => {
      for (const cell of notebook.model?.cells ?? []) follow(cell);
    };
    const begin = () => {
      notebook.model?.cells.changed.connect(followAll);
      followAll();
    };
    notebook.modelChanged.connect(begin);
    begin();
  }

  async function prompts() {
    const [{ INotebookTracker }, { IEditorExtensionRegistry }, view] = await Promise.all(
      ["@jupyterlab/notebook", "@jupyterlab/codemirror", "@codemirror/view"].map(load),
    );
    return {
      id: "glm_magic:prompt",
      description: "Shows the prompt in a %%glm cell as the prompt that it is.",
      autoStart: true,
      requires: [INotebookTracker, IEditorExtensionRegistry],
      activate: (_app, tracker, registry) => {
        const extension = marking(view);
        registry.addExtension({
          name: "glm_magic:prompt",
          factory: () => ({ instance: () => extension, reconfigure: () => null }),
        });
        tracker.forEach(followNotebook);
        tracker.widgetAdded.connect((_tracker, panel) => followNotebook(panel));
      },
    };
  }

  // --- the line above an answer -----------------------------------------------------------------------------------

  // A style sheet draws the buttons' words: what is selected on the page and copied is the answer alone.
  const LINE_STYLE = `
    .jp-OutputArea-child:has(> .glm-line-buttons) { position: relative; }
    .glm-line-buttons {
      background: var(--jp-layout-color0, Canvas); display: flex; gap: 4px; opacity: 0; padding-left: 4px;
      position: absolute; right: 4px; top: 0;
    }
    .jp-OutputArea-child:is(:hover, :focus-within) > .glm-line-buttons { opacity: 1; }
    @media (hover: none) { .glm-line-buttons { opacity: 1; } }
    .glm-line-button {
      background: var(--jp-layout-color2, #eee); border: 1px solid var(--jp-border-color1, #bdbdbd);
      border-radius: 3px; color: var(--jp-content-font-color1, #333); cursor: pointer;
      font: var(--jp-ui-font-size1, 13px) / 1.3 var(--jp-ui-font-family, sans-serif); padding: 0 8px;
    }
    .glm-line-button::before { content: attr(data-says); }
    .glm-line-button:hover { background: var(--jp-layout-color3, #ddd); }
    .glm-line-button:focus-visible { outline: 2px solid var(--jp-brand-color1, #2196f3); outline-offset: -2px; }
    @media (forced-colors: active) { .glm-line-button { border-color: ButtonText; } }`;

  function lineButton(says, label, onClick) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "glm-line-button";
    button.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes Enter for its own
    const say = (says, label) => {
      button.dataset.says = says;
      button.setAttribute("aria-label", label);
    };
    say(says, label);
    button.addEventListener("click", async () => {
      const said = await onClick();
      if (!said) return;
      say(said, said);
      setTimeout(say, 1000 * SAID_SECONDS, says, label);
    });
    return button;
  }

  // The Markdown of the answer below the line in `row`, as the model wrote it; undefined if the cell keeps no turns.
  function answerOf(cell, row) {
    const id = row.querySelector("[data-glm-turn]")?.dataset.glmTurn;
    const outputs = cell.model.outputs;
    for (let at = 0; at < (outputs?.length ?? 0); at++) {
      const turn = outputs.get(at).data[TURN];
      if (turn?.id !== id || !Array.isArray(turn?.messages)) continue;
      const texts = turn.messages.filter(({ role }) => role === "assistant").map(({ content }) => content);
      return texts.filter((text) => text && typeof text === "string").join("\n\n");
    }
  }

  // Keeps the buttons in the lines of a notebook, as long as it has a kernel.
  function followLines(panel, copy, run) {
    const { content: notebook, sessionContext } = panel;
    const isLive = () => {
      const kernel = sessionContext.session?.kernel;
      return kernel?.connectionStatus === "connected" && !["dead", "terminating"].includes(kernel.status);
    };
    const add = (row) => {
      const cell = notebook.widgets.find((each) => each.node.contains(row));
      if (!cell) return;
      const buttons = document.createElement("div");
      buttons.className = "glm-line-buttons";
      if (answerOf(cell, row)) buttons.append(lineButton("Copy", "Copy the answer", () => copy(answerOf(cell, row))));
      buttons.append(lineButton("Run again", "Run the cell of this answer again", () => run(panel, cell)));
      row.append(buttons);
    };
    let isDue = false;
    const look = () => {
      isDue = false;
      if (panel.isDisposed) return;
      const lines = isLive() ? [...notebook.node.querySelectorAll("[data-glm-turn]")] : [];
      const rows = new Set(lines.map((line) => line.closest(".jp-OutputArea-child")).filter(Boolean));
      for (const buttons of notebook.node.querySelectorAll(".glm-line-buttons")) {
        if (!rows.delete(buttons.parentElement)) buttons.remove();
      }
      rows.forEach(add);
    };
    const soon = () => {
      if (!isDue) requestAnimationFrame(look);
      isDue = true;
    };
    const observer = new MutationObserver(soon);
    observer.observe(notebook.node, { childList: true, subtree: true });
    for (const name of ["kernelChanged", "statusChanged", "connectionStatusChanged"]) sessionContext[name].connect(soon);
    panel.disposed.connect(() => observer.disconnect());
    soon();
  }

  async function lines() {
    const [{ INotebookTracker, NotebookActions }, { Clipboard }] = await Promise.all(
      ["@jupyterlab/notebook", "@jupyterlab/apputils"].map(load),
    );
    const copy = async (text) => {
      try {
        await navigator.clipboard.writeText(text);
        return "Copied";
      } catch {
        let done = false; // where a page is not served over https
        document.addEventListener("copy", () => (done = true), { capture: true, once: true });
        Clipboard.copyToSystem(text);
        return done ? "Copied" : "Not copied";
      }
    };
    const run = (panel, cell) => {
      const notebook = panel.content;
      notebook.activeCellIndex = notebook.widgets.indexOf(cell);
      notebook.deselectAll();
      void NotebookActions.run(notebook, panel.sessionContext);
    };
    return {
      id: "glm_magic:line",
      description: "Shows Copy and Run again at the end of the line above an answer.",
      autoStart: true,
      requires: [INotebookTracker],
      activate: (_app, tracker) => {
        const sheet = document.createElement("style");
        sheet.textContent = LINE_STYLE;
        document.head.append(sheet);
        tracker.forEach((panel) => followLines(panel, copy, run));
        tracker.widgetAdded.connect((_tracker, panel) => followLines(panel, copy, run));
      },
    };
  }

  (window._JUPYTERLAB ??= {}).glm_magic = {
    init(scope) {
      shared = scope;
    },
    async get(module) {
      if (module !== "./extension") throw new Error(`glm_magic has no module ${module}`);
      const made = []; // a front end that lacks what one of them needs is left as it is
      for (const [make, without] of [
        [prompts, "prompts stay coloured as Python"],
        [lines, "the line of an answer has no buttons"],
      ]) {
        try {
          made.push(await make());
        } catch (error) {
          console.warn(`glm_magic: ${without}.`, error);
        }
      }
      return () => ({ __esModule: true, default: made });
    },
  };
})();
