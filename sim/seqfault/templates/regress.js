// Draws the plots in the colours of the page, light or dark, and sorts tables.
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent), shown = {};
  const root = document.documentElement;
  const colour = name => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const font = () => ({ family: "system-ui, sans-serif", size: 13, color: colour("text") });
  function coloured(trace) {
    const own = colour(trace.meta.colour), copy = structuredClone(trace);
    if (copy.mode === "lines") copy.line = { ...copy.line, color: own };
    else copy.marker = { ...copy.marker, color: own, line: { width: copy.mode ? 1 : 0, color: colour(copy.mode ? "text" : "page") } };
    return copy;
  }
  function styled(layout) {
    const copy = structuredClone(layout), clear = "rgba(0,0,0,0)";
    Object.assign(copy, { paper_bgcolor: clear, plot_bgcolor: clear, font: font() });
    copy.hoverlabel = { ...copy.hoverlabel, bgcolor: colour("panel"), bordercolor: colour("quiet"), font: font() };
    for (const [name, axis] of Object.entries(copy)) {
      if (/^[xy]axis/.test(name)) Object.assign(axis, { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("quiet"), tickcolor: colour("line") });
    }
    return copy;
  }
  function draw(name) {
    const view = plots[name].views[shown[name] ?? 0], place = document.getElementById("plot-" + name);
    place.style.height = view.layout.height + "px";
    return Plotly.react(place, view.data.map(coloured), styled(view.layout), { displayModeBar: false, responsive: true }).then(() => Plotly.Plots.resize(place));
  }
  const drawAll = () => Promise.all(Object.keys(plots).map(draw)).then(() => { root.dataset.drawn = colour("page"); });
  for (const select of document.querySelectorAll("select[data-plot]")) {
    select.addEventListener("change", () => { shown[select.dataset.plot] = Number(select.value); draw(select.dataset.plot); });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { root.classList.add("print"); for (const box of document.querySelectorAll("#latency details")) box.open = true; drawAll(); });
  addEventListener("afterprint", () => { root.classList.remove("print"); drawAll(); });
  function sort(button) {
    const head = button.closest("th"), table = head.closest("table"), column = [...head.parentNode.children].indexOf(head);
    const up = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "descending" : !head.classList.contains("number");
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const order = (a, b) => (Number(a) - Number(b)) || (isNaN(a) || isNaN(b) ? String(a).localeCompare(b) : 0);
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * order(key(a), key(b))));
  }
  for (const button of document.querySelectorAll("button.sort")) button.addEventListener("click", () => sort(button));
  drawAll();
})();
