// Marks the lines of stale answers on the page by a style sheet alone, so that nothing of it is ever saved.
export default {
  initialize({ model }) {
    const sheet = document.createElement("style");
    const draw = () => {
      const lines = model.get("stale").map((id) => `[data-glm-turn="${CSS.escape(id)}"]::after`);
      sheet.textContent = lines.length
        ? `${lines.join(",")} { content: " · stale"; color: var(--jp-warn-color0, #b26a00); font-weight: bold; }`
        : "";
    };
    document.head.append(sheet);
    model.on("change:stale", draw);
    draw();
    return () => sheet.remove();
  },
};
