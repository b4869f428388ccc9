// The parameter panel: knobs, the key with Log in, and the lines that say the same.

export default overlay((model, ask) => {
  const el = make("div", "view glm-panel", null);
  const presets = presetRow(el, ask, true);
  const turn = knobs(el, ask, model);
  const status = keyRow(el, ask);
  const total = make("div", "row glm-spent", el);
  const config = copied(el, "as a line", "config");
  const flags = copied(el, "for one cell", "ask");
  const foot = make("div", "row", el);
  make("span", "name", foot);
  const said = make("span", "said");
  button("play", foot, "Open a playground below", () => {
    const why = insertBelow(model, el.dataset.cell, [model.get("lines").playground]);
    said.textContent = why || "Run the cell below.";
  });
  foot.append(said);
  const changed = settling(el, ask);
  let before = model.get("lines").config;
  const draw = () => {
    if (before !== model.get("lines").config) changed();
    before = model.get("lines").config;
    presets(model.get("presets"));
    turn(model.get("rows"));
    status(model.get("status"));
    total.textContent = model.get("spent");
    total.hidden = !total.textContent;
    config(model.get("lines").config ?? "");
    flags(model.get("lines").ask ?? "");
  };
  return Object.assign(draw, { element: el });
});

// The key's status, and Log in, which sends what is typed once and keeps nothing of it on the page.
function keyRow(parent, ask) {
  const row = make("div", "row glm-key", parent);
  make("span", "name", row, "key");
  const said = make("span", "status", row);
  const form = make("div", "login", row);
  const input = make("input", "input", form);
  Object.assign(input, { type: "password", autocomplete: "new-password", placeholder: "API key" });
  input.setAttribute("aria-label", "API key");
  const fault = make("span", "fault", row);
  fault.setAttribute("role", "alert");
  const fold = (folded) => {
    form.hidden = folded;
    open.textContent = folded ? "Log in" : "Cancel";
    input.value = "";
    if (!folded) input.focus();
  };
  const keep = async () => {
    const key = input.value;
    input.value = "";
    const { why, said: where } = await ask("login", { key });
    fault.textContent = why || where || "";
    fault.classList.toggle("glm-good", why === "");
    if (!why) fold(true);
  };
  button("keep", form, "Keep", keep);
  const open = button("open", row, "Log in", () => fold(!form.hidden));
  input.addEventListener("keydown", (event) => event.key === "Enter" && keep());
  fold(true);
  return (text) => (said.textContent = text);
}
