"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const lanes = byId("lanes"), extent = byId("extent"), drawing = byId("drawing"), panel = byId("panel");
const CYCLE = 0, AGENT = 1, FAULT = 2, STEPS = 3, OUTCOME = 4, VMA = 5, SEQUENCE = 6, DETAIL = 7;
const EXPECTED = 0, NEXT = 1, SNAPSHOT = 2, NOW = 3, HOLDS = 4, VERDICT = 5, ALLOWED = 0, FORBIDDEN = 1;
const GUTTER = 232, RULER = 24, ROW = 20, SMALL = 16, GAP = 6, LETTER = 6.7, WIDEST = 1.5e7;
const NEIGHBOURS = 12;  // events of the command unit shown before and after the chosen one
const events = data.events, faults = data.faults, difference = data.difference;
const cycleOf = (event) => events[event][CYCLE];
const firstCycle = events.length ? cycleOf(0) : 0, lastCycle = events.length ? cycleOf(events.length - 1) + 1 : 1;
const contexts = [...new Set(faults.map((fault) => fault.ctx))].sort((a, b) => a - b);
const byNumber = new Map(faults.map((fault) => [fault.n, fault]));
for (const fault of faults) { fault.begin = cycleOf(fault.events[0]); fault.end = cycleOf(fault.events.at(-1)) + 1; }
let scale = 1, rows = [], selected = null, chosen = null, guided = false, pending = false, seenTop = 0;

const escape = (text) => String(text).replace(/[&<>"]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[letter]);
const failed = (event) => events[event][OUTCOME] !== "OK";
const differs = (event) => difference !== null && difference.event === event;
const viewOf = (event) => (data.golden === null ? null : data.golden[event]);

function tooltip(event) {
  const [cycle, agent, number, steps, outcome, vma, sequence, detail] = events[event];
  const view = viewOf(event);
  const golden = view ? `\ngolden: ${goldenText(view)}` : data.golden ? "\ngolden has not seen it" : "";
  return `${number ? `fault ${number}, ` : ""}${data.agents[agent]}, cycle ${cycle}\n${steps} ${outcome}${sequence ? ` (VMA ${vma}, sequence ${sequence})` : ""}\n${detail}${golden}`;
}
function goldenText(view) {
  const way = view[NEXT] === null ? "" : `${view[EXPECTED]} then ${view[NEXT]}, `;
  return `${way}${view[HOLDS] ? `holds ${view[HOLDS]}, ` : ""}${["allowed", "NOT ALLOWED", "not checked"][view[VERDICT]]}`;
}

// --- rows: one of each fault, or of each context ---
function arrange() {
  const kept = new Set([...document.querySelectorAll(".filter:checked")].map((box) => box.value));
  const shown = faults.filter((fault) => kept.has(fault.outcome));
  const mode = byId("arrangement").value;
  if (mode === "fault") rows = shown.map((fault) => ({ faults: [fault] }));
  else if (mode === "packed") rows = contexts.map((ctx) => ({ ctx, faults: shown.filter((fault) => fault.ctx === ctx) }));
  else rows = contexts.flatMap((ctx) => {
    const own = shown.filter((fault) => fault.ctx === ctx);
    return own.length ? [{ ctx, faults: [], heading: `${data.agents[ctx]}: ${own.length} faults` }, ...own.map((fault) => ({ faults: [fault] }))] : [];
  });
  resize();
}
const otherHeight = () => data.lanes.reduce((height, lane) => height + lane.rows * SMALL + GAP, RULER + GAP);
const width = () => Math.max(50, lanes.clientWidth - GUTTER);
const smallest = () => width() / (lastCycle - firstCycle);
function resize() {
  scale = Math.min(Math.max(scale, smallest()), 60, WIDEST / (lastCycle - firstCycle));
  extent.style.width = `${GUTTER + (lastCycle - firstCycle) * scale}px`;
  extent.style.height = `${otherHeight() + rows.length * ROW + 8}px`;
  draw();
}
const left = (cycle) => GUTTER + (cycle - firstCycle) * scale - lanes.scrollLeft;

// --- going somewhere ---
function guide(scrollLeft, scrollTop) {
  guided = true;
  lanes.scrollLeft = scrollLeft;
  lanes.scrollTop = scrollTop;
  seenTop = lanes.scrollTop;
  requestAnimationFrame(() => requestAnimationFrame(() => { guided = false; }));
  draw();
}
function zoom(factor, at = GUTTER + width() / 2) {
  const cycle = firstCycle + (lanes.scrollLeft + at - GUTTER) / scale;
  scale *= factor;
  resize();
  guide((cycle - firstCycle) * scale - (at - GUTTER), lanes.scrollTop);
}
function show(fault, event = null, around = null) {
  const middle = around === null ? (fault.begin + fault.end) / 2 : around;
  scale = width() * 0.7 / Math.max(10, fault.end - fault.begin);
  select(fault, event === null ? fault.events[0] : event);
  resize();
  const row = rows.findIndex((one) => one.faults.includes(fault)), room = lanes.clientHeight - otherHeight();
  const begin = fault.end - fault.begin > width() / scale ? middle - width() / scale / 2 : (fault.begin + fault.end - width() / scale) / 2;
  guide((begin - firstCycle) * scale, row * ROW - Math.max(0, room / 3));
}
function showDifference() {
  const event = difference.event, fault = event === null ? null : byNumber.get(events[event][FAULT]);
  if (fault) {
    const filter = document.querySelector(`.filter[value="${fault.outcome}"]`);
    if (!filter.checked) { filter.checked = true; arrange(); }
    return show(fault, event, difference.cycle);
  }
  scale = width() / 400;
  select(null, event);
  resize();
  const near = rows.findIndex((row) => row.faults.some((one) => one.end >= difference.cycle));
  guide((difference.cycle - firstCycle) * scale - width() / 2, Math.max(0, near < 0 ? rows.length * ROW : near * ROW - 40));
}

// --- the panel: the engine's side and golden's ---
function select(fault, event) {
  selected = fault;
  chosen = event;
  if (fault) byId("number").value = fault.n;
  panel.innerHTML = (fault ? describe(fault) : describeCommands(event)) + (difference ? `<h2 class="wrong">The first difference</h2><pre>${escape(difference.text)}</pre>` : "");
  (panel.querySelector("tr.differs") || panel.querySelector("tr.at") || panel.firstElementChild).scrollIntoView({ block: "nearest" });
  draw();
}
function describe(fault) {
  const attempts = Math.max(...fault.attempts) - Math.min(...fault.attempts) + 1;
  const head = `<h2>Fault ${fault.n} <span class="swatch ${fault.outcome}"></span>${fault.outcome}</h2><p class="quiet">${escape(data.agents[fault.ctx])}, ${fault.access} of ` +
    `${fault.va}, space ${fault.space}; cycles ${fault.begin} to ${fault.end - 1} (${fault.end - fault.begin}), ${attempts} attempt${attempts > 1 ? "s" : ""}</p>`;
  let last = null;
  return head + table(fault.events.map((event, place) => {
    const number = fault.attempts[place], title = number !== last && attempts > 1 ? `<tr class="group"><th colspan="3">attempt ${number}</th></tr>` : "";
    last = number;
    return title + line(event);
  }));
}
function describeCommands(event) {
  if (event === null) return `<h2>Cycle ${difference ? difference.cycle : firstCycle}</h2>`;
  const own = events.map((_, place) => place).filter((place) => events[place][AGENT] === events[event][AGENT]), at = own.indexOf(event);
  return `<h2>${escape(data.agents[events[event][AGENT]])}, around cycle ${cycleOf(event)}</h2>` + table(own.slice(Math.max(0, at - NEIGHBOURS), at + NEIGHBOURS + 1).map(line));
}
const table = (lines) => `<table><thead><tr><th>cycle</th><th>engine</th>${data.golden ? '<th class="golden">golden</th>' : ""}</tr></thead><tbody>${lines.join("")}</tbody></table>`;
function line(event) {
  const [cycle, , , steps, outcome, vma, sequence, detail] = events[event];
  const kind = differs(event) ? "differs" : event === chosen ? "at" : "";
  const engine = `<span class="step">${steps}</span> <span class="${failed(event) ? "failed" : "quiet"}">${outcome}</span>${sequence ? ` VMA ${vma}, sequence ${sequence}` : ""}<br><span class="quiet">${escape(detail)}</span>`;
  return `<tr class="${kind}" data-row="${event}"><td>${cycle}</td><td>${engine}</td>${data.golden ? `<td class="golden">${goldenCell(viewOf(event))}</td>` : ""}</tr>`;
}
function goldenCell(view) {
  if (!view) return '<span class="quiet">not seen</span>';
  const verdict = ['<span class="ok">&#10003; allowed</span>', '<span class="wrong">&#10007; not allowed</span>', '<span class="quiet">not checked</span>'][view[VERDICT]];
  const way = view[NEXT] === null ? "" : view[VERDICT] === ALLOWED ? ` next ${view[NEXT]}` : ` expected ${view[EXPECTED]}`;
  const sequence = view[NOW] === null ? "" : `<br>sequence ${view[NOW]}${view[SNAPSHOT] === null ? "" : `, snapshot ${view[SNAPSHOT]}`}`;
  return `${verdict}${way}<span class="quiet">${sequence}${view[HOLDS] ? `<br>holds ${escape(view[HOLDS])}` : ""}</span>`;
}

// --- what the reader does ---
lanes.addEventListener("scroll", () => {
  if (!guided && lanes.scrollTop !== seenTop && byId("follow").checked && byId("arrangement").value === "fault") {
    const row = rows[Math.min(rows.length - 1, Math.floor(lanes.scrollTop / ROW))];
    if (row) guide((row.faults[0].begin - firstCycle) * scale - 20, lanes.scrollTop);
  }
  seenTop = lanes.scrollTop;
  draw();
});
lanes.addEventListener("wheel", (wheel) => {
  if (!wheel.ctrlKey && !wheel.metaKey) return;
  wheel.preventDefault();
  zoom(wheel.deltaY < 0 ? 1.25 : 0.8, Math.max(GUTTER, wheel.clientX - lanes.getBoundingClientRect().left));
}, { passive: false });
drawing.addEventListener("click", (click) => {
  const jumped = click.target.dataset.jump, event = click.target.dataset.event;
  if (jumped) return guide((byNumber.get(Number(jumped)).begin - firstCycle) * scale - 40, lanes.scrollTop);
  if (event !== undefined) select(byNumber.get(events[event][FAULT]) || null, Number(event));
});
function move(by) {
  const list = rows.flatMap((row) => row.faults), at = list.indexOf(selected);
  const next = list[Math.min(list.length - 1, Math.max(0, at + by))];
  if (next) show(next);
}
lanes.addEventListener("keydown", (key) => {
  const action = { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": all, j: () => move(1), k: () => move(-1), d: () => difference && showDifference() }[key.key];
  if (action) { key.preventDefault(); action(); }
});
function all() { scale = 0; resize(); guide(0, lanes.scrollTop); }
byId("in").addEventListener("click", () => zoom(1.5));
byId("out").addEventListener("click", () => zoom(1 / 1.5));
byId("fit").addEventListener("click", all);
byId("number").addEventListener("change", (change) => { const fault = byNumber.get(Number(change.target.value)); if (fault) show(fault); });
byId("arrangement").addEventListener("change", () => { arrange(); if (selected) show(selected, chosen); else guide(lanes.scrollLeft, 0); });
for (const filter of document.querySelectorAll(".filter")) filter.addEventListener("change", arrange);
if (byId("to-difference")) byId("to-difference").addEventListener("click", showDifference);
