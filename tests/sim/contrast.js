// What text on this page has the least contrast to what is behind it (WCAG 2: relative luminance), and how much was looked at.
() => {
  const parse = text => { const found = text.match(/[\d.]+/g).map(Number); return { rgb: found.slice(0, 3), alpha: found[3] ?? 1 }; };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(value => value / 255).map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const worst = { ratio: 21, checked: 0, text: "" };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || element.closest("script, style, title") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), inPlot = element.closest("svg");
    const front = luminance(parse(inPlot ? style.fill : style.color).rgb), back = luminance(behind(inPlot ? inPlot.parentElement : element));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    worst.checked += 1;
    if (ratio < worst.ratio) Object.assign(worst, { ratio, text });
  }
  return worst;
}
