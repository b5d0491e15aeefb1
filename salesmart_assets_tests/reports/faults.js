// What a reader of a page would stumble over, as sentences; every part of it that can be opened is open.
// `least`: text_px, the height of a text in a plot; contrast, the ratio between a text and what is behind it.
(least) => {
  document.querySelectorAll('details').forEach(part => { part.open = true; });
  const faults = [];
  const shown = element => element.getClientRects().length > 0;
  const said = element => element.textContent.trim().replace(/\s+/g, ' ').slice(0, 60);
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} px wide in a window of ${root.clientWidth}`);

  // Amounts on top stand on one line, within their place.
  for (const amount of document.querySelectorAll('.numbers dd')) {
    const range = document.createRange();
    range.selectNodeContents(amount.firstChild);
    const lines = [...range.getClientRects()].filter(box => box.width > 0);
    if (lines.length !== 1) faults.push(`${said(amount)} stands on ${lines.length} lines`);
    else if (lines[0].right > amount.getBoundingClientRect().right + 1) faults.push(`${said(amount)} leaves its place`);
  }

  // Texts of a plot are large enough, inside its section, and apart from each other.
  const plots = [...document.querySelectorAll('.plot svg')].filter(shown);
  for (const plot of plots) {
    const section = plot.closest('section').getBoundingClientRect();
    const boxes = [...plot.querySelectorAll('text')].map(text => [said(text), text.getBoundingClientRect()]);
    boxes.forEach(([text, box], place) => {
      if (box.height < least.text_px) faults.push(`${text} in a plot is only ${box.height.toFixed(1)} px high`);
      if (box.left < section.left || box.right > section.right) faults.push(`${text} in a plot leaves its section`);
      for (const [other, that] of boxes.slice(place + 1)) {
        const apart = box.right <= that.left || that.right <= box.left || box.bottom <= that.top + 2 || that.bottom <= box.top + 2;
        if (!apart) faults.push(`${text} and ${other} in a plot overlap`);
      }
    });
  }

  // Every text is legible on what is behind it.
  const parts = colour => colour.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let part = element; part; part = part.parentElement) {
      const colour = parts(getComputedStyle(part).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !shown(element)) continue;
    const style = getComputedStyle(element);
    const [one, two] = [light(parts(element.closest('svg') ? style.fill : style.color)), light(behind(element))];
    const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (contrast < least.contrast) faults.push(`${said(element)} has a contrast of ${contrast.toFixed(2)}`);
  }
  return {faults: [...new Set(faults)], plots: plots.length, ground: light(parts(getComputedStyle(document.body).backgroundColor))};
}
