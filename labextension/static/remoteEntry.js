// The JupyterLab extension of glm_magic, written by hand: it needs no build. It shows a %%glm cell as Markdown instead
// of Python, with the magic's line and the templates picked out. What is typed stays as it is.
//
// JupyterLab loads this file as a container of webpack's module federation: `init` gets the packages that it shares,
// and `get` returns a module.

(() => {
  "use strict";

  const MAGIC = /^%%glm(?:[ \t].*)?$/;
  const MARKDOWN = "text/x-ipythongfm";
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

  async function plugin() {
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

  const NOTHING = []; // a front end that lacks what this needs is left as it is

  (window._JUPYTERLAB ??= {}).glm_magic = {
    init(scope) {
      shared = scope;
    },
    async get(module) {
      if (module !== "./extension") throw new Error(`glm_magic has no module ${module}`);
      let made = NOTHING;
      try {
        made = await plugin();
      } catch (error) {
        console.warn("glm_magic: prompts stay coloured as Python.", error);
      }
      return () => ({ __esModule: true, default: made });
    },
  };
})();
