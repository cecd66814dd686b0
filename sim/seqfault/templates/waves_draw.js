// What is in sight of the timeline, as SVG. Included behind waves.js, into the same script.
// --- drawing: only what is in sight ---
function draw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; paint(); });
}
function paint() {
  const wide = lanes.clientWidth, high = lanes.clientHeight;
  const from = firstCycle + lanes.scrollLeft / scale, to = from + width() / scale;
  const top = otherHeight(), parts = [];
  const firstRow = Math.max(0, Math.floor(lanes.scrollTop / ROW)), lastRow = Math.min(rows.length, Math.ceil((lanes.scrollTop + high - top) / ROW));
  drawing.setAttribute("width", wide);
  drawing.setAttribute("height", high);
  parts.push(`<rect class="ground" width="${wide}" height="${high}"/>`, grid(from, to, high));
  const names = [];
  for (let number = firstRow; number < lastRow; number++) paintRow(rows[number], top + number * ROW - lanes.scrollTop, from, to, wide, parts, names);
  parts.push(`<rect class="gutter" y="${top - 2}" width="${GUTTER}" height="${high}"/>`, ...names);
  parts.push(`<rect class="ground" width="${wide}" height="${top - 2}"/>`, grid(from, to, top), paintOthers(from, to), ruler(from, to, top, wide));
  parts.push(`<line class="rule" x1="${GUTTER}" x2="${GUTTER}" y2="${high}"/>`, otherNames(), markDifference(high));
  drawing.innerHTML = parts.join("");
}
function step(from, to) {
  const wanted = (to - from) / Math.max(2, width() / 110), power = 10 ** Math.floor(Math.log10(Math.max(wanted, 1)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= wanted) || 10 * power;
}
function ticks(from, to) {
  const size = step(from, to), list = [];
  for (let cycle = Math.ceil(from / size) * size; cycle <= to; cycle += size) list.push(cycle);
  return list;
}
const grid = (from, to, high) => ticks(from, to).map((cycle) => `<line class="grid" x1="${left(cycle)}" x2="${left(cycle)}" y1="${RULER}" y2="${high}"/>`).join("");
function ruler(from, to, top, wide) {
  const marks = ticks(from, to).map((cycle) => `<text class="quiet" x="${left(cycle) + 3}" y="15">${cycle}</text>`).join("");
  return `${marks}<rect class="gutter" width="${GUTTER}" height="${top}"/><text class="name quiet" x="8" y="16">cycle</text>` +
    `<line class="rule" x1="0" x2="${wide}" y1="${RULER}" y2="${RULER}"/><line class="rule" x1="0" x2="${wide}" y1="${top - 2}" y2="${top - 2}"/>`;
}
function box(kind, x, y, wide, high, event, label, more = "") {
  const begin = Math.max(x, GUTTER - 2), shown = Math.max(1, wide - (begin - x));
  const text = label && shown > label.length * LETTER + 4 ? `<text class="on" x="${begin + 3}" y="${y + high / 2 + 4}">${escape(label)}</text>` : "";
  return `<rect class="${kind}" x="${begin}" y="${y}" width="${shown}" height="${high}" data-event="${event}"${more}><title>${escape(tooltip(event))}</title></rect>${text}`;
}
function paintRow(row, y, from, to, wide, parts, names) {
  const fault = row.faults.length === 1 && row.ctx === undefined ? row.faults[0] : null;
  if (row.heading) parts.push(`<rect class="heading" y="${y}" width="${wide}" height="${ROW}"/>`);
  else if (fault && fault === selected) parts.push(`<rect class="picked" y="${y}" width="${wide}" height="${ROW}"/>`);
  const label = row.heading || (fault ? `${fault.n}  ${data.agents[fault.ctx]}  ${fault.access} ${fault.va}` : data.agents[row.ctx]);
  names.push(`<text class="name${fault && fault === selected ? "" : " quiet"}" x="8" y="${y + 14}">${escape(label.slice(0, 34))}</text>`);
  let drawn = -1;
  for (const one of row.faults) {
    if (one.end < from || one.begin > to) {
      if (fault) parts.push(jump(one, y, one.end < from, wide));
      continue;
    }
    const x = left(one.begin), size = (one.end - one.begin) * scale;
    if (size < 24) {
      if (size >= 1 || Math.floor(x) > drawn) parts.push(box(`whole ${one.outcome}`, x, y + 3, Math.max(1, size), ROW - 6, one.events[0], size > 14 ? one.n : ""));
      drawn = Math.floor(x);
    } else paintFault(one, y, from, to, parts);
  }
}
const jump = (fault, y, before, wide) => `<text class="jump" data-jump="${fault.n}" x="${before ? GUTTER + 4 : wide - 24}" y="${y + 14}">${before ? "\u25c0" : "\u25b6"}</text>`;
function paintFault(fault, y, from, to, parts) {
  let begin = fault.begin, attempt = fault.attempts[0];
  fault.events.forEach((event, place) => {
    const end = cycleOf(event) + 1;
    if (end >= from && begin <= to) {
      const view = viewOf(event), odd = fault.attempts[place] % 2 ? " odd" : "", bad = failed(event) ? " bad-step" : "";
      const unchecked = data.golden && (!view || view[VERDICT] > FORBIDDEN) ? " unchecked" : "";
      const label = events[event][STEPS] + (bad ? ` ${events[event][OUTCOME]}` : "");
      const wide = (end - begin) * scale, short = wide > label.length * LETTER + 4 ? label : events[event][STEPS];
      parts.push(box(`cell ${fault.outcome}${odd}${bad}${unchecked}`, left(begin), y + 2, wide, ROW - 4, event, short, ` data-steps="${events[event][STEPS]}"`));
      if (fault.attempts[place] !== attempt) parts.push(`<line class="attempt" x1="${left(begin)}" x2="${left(begin)}" y1="${y}" y2="${y + ROW}"/>`);
    }
    attempt = fault.attempts[place];
    begin = end;
  });
}
function paintOthers(from, to) {
  let y = RULER + GAP;
  const parts = [];
  for (const lane of data.lanes) {
    const drawn = new Array(lane.rows).fill(-1);
    for (const [first, last, label, row] of lane.spans) {
      const begin = cycleOf(first), end = last === null ? lastCycle : cycleOf(last) + 1;
      if (end < from || begin > to) continue;
      const x = left(begin), size = Math.max((end - begin) * scale, 2);
      if (size <= 2 && Math.floor(x) <= drawn[row] && !differs(first)) continue;
      drawn[row] = Math.floor(x);
      parts.push(box(`cell command${failed(first) ? " bad-step" : ""}`, x, y + row * SMALL, size, SMALL - 2, first, label));
    }
    y += lane.rows * SMALL + GAP;
  }
  return parts.join("");
}
function otherNames() {
  let y = RULER + GAP;
  return data.lanes.map((lane) => { const text = `<text class="name" x="8" y="${y + 12}">${lane.name}</text>`; y += lane.rows * SMALL + GAP; return text; }).join("");
}

// --- the first difference ---
function markDifference(high) {
  if (difference === null || difference.cycle < firstCycle || difference.cycle > lastCycle) return "";
  const x = left(difference.cycle), parts = [];
  if (x < GUTTER - scale || x > lanes.clientWidth) return "";
  parts.push(`<line class="difference-line" x1="${x}" x2="${x}" y1="${RULER}" y2="${high}"/><rect class="difference-flag" x="${x}" y="2" width="104" height="18" rx="3"/><text x="${x + 5}" y="15">difference</text>`);
  const cell = difference.event === null ? null : placeOf(difference.event);
  if (cell) parts.push(`<rect class="difference" id="difference" x="${cell.x - 1}" y="${cell.y}" width="${Math.max(cell.wide, 4) + 2}" height="${cell.high}" rx="2"/>`);
  return parts.join("");
}
function placeOf(event) {
  const fault = byNumber.get(events[event][FAULT]);
  if (!fault) {
    let y = RULER + GAP;
    for (const lane of data.lanes) {
      const span = lane.spans.find(([first, last]) => first === event || last === event);
      if (span) return { x: left(cycleOf(event)), wide: scale, y: y + span[3] * SMALL - 2, high: SMALL + 2 };
      y += lane.rows * SMALL + GAP;
    }
    return null;
  }
  const number = rows.findIndex((row) => row.faults.includes(fault)), place = fault.events.indexOf(event);
  if (number < 0) return null;
  const begin = place ? cycleOf(fault.events[place - 1]) + 1 : fault.begin, y = otherHeight() + number * ROW - lanes.scrollTop;
  return y < otherHeight() - 4 ? null : { x: left(begin), wide: (cycleOf(event) + 1 - begin) * scale, y, high: ROW };
}
