// The widget without an output: it finds the grids of this kernel on the page, and puts one that can be used into each.

const ENDS = ["restarting", "autorestarting", "terminating", "dead"];
const PLACE = "[data-glm-grid]";

export default {
  initialize({ model }) {
    const grids = new Map(); // by key: a grid, its place on the page, and the static one that it stands in for
    const asked = new Set();
    const kernel = model.widget_manager?.kernel; // JupyterLab and Notebook 7 give it
    const interrupt = kernel?.interrupt ? () => kernel.interrupt() : null;

    const leave = (grid) => {
      if (grid.place?.contains(grid.part.node)) grid.place.replaceChildren(...grid.still);
      grid.place = null;
    };
    const stand = (place) => {
      const key = place.dataset.glmGrid;
      const grid = grids.get(key);
      if (!grid) {
        if (!asked.has(key) && !model.get("begun")[key]) model.send({ want: key });
        asked.add(key);
        return;
      }
      if (place.contains(grid.part.node)) grid.part.settle(); // a cell that was out of sight is back
      if (grid.part.node.isConnected) return; // here, or in another view of the output
      grid.place = place;
      grid.still = [...place.childNodes];
      place.replaceChildren();
      grid.part.moveTo(place);
    };
    const stand_all = (root) => {
      if (root.matches?.(PLACE)) stand(root);
      for (const place of root.querySelectorAll?.(PLACE) ?? []) stand(place);
    };
    const begin = (key, whole) => {
      const data = new Data(whole);
      const known = grids.get(key);
      if (known?.part.isLike(data)) known.part.replace(data); // what a person chose in it stays
      else {
        if (known) {
          leave(known);
          known.part.dispose();
        }
        const send = (action) => model.send({ grid: key, ...action });
        grids.set(key, { part: new GridPart(data, { send, interrupt }) });
      }
      stand_all(document);
    };
    const begin_all = () => {
      for (const [key, whole] of Object.entries(model.get("begun"))) {
        if (grids.get(key)?.run === whole.run) continue;
        begin(key, whole);
        grids.get(key).run = whole.run;
      }
    };
    const on_message = ({ grid: key, whole, patch }) => {
      if (whole) begin(key, whole);
      else if (patch && grids.has(key)) {
        const { data } = grids.get(key).part;
        grids.get(key).part.take(patch);
        if (data.hasMissed && !data.isRunning) {
          data.hasMissed = false;
          model.send({ want: key });
        }
      }
    };
    const on_status = (_kernel, status) => ENDS.includes(status) && end();
    // The kernel has ended: another one has a widget of its own, for outputs with the same keys too.
    const end = () => {
      seen.disconnect();
      model.off("change:begun", begin_all);
      model.off("msg:custom", on_message);
      kernel?.statusChanged?.disconnect(on_status);
      kernel?.disposed?.disconnect(end);
      for (const grid of grids.values()) {
        if (grid.part.data.isRunning) grid.part.end(); // it shows more than its static one
        else leave(grid);
      }
      grids.clear();
    };

    const seen = new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) stand_all(node);
    });
    seen.observe(document.body, { childList: true, subtree: true });
    model.on("change:begun", begin_all);
    model.on("msg:custom", on_message);
    kernel?.statusChanged?.connect(on_status);
    kernel?.disposed?.connect(end); // it was shut down
    begin_all();
    stand_all(document);
    return end;
  },
};
