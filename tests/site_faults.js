// What looks wrong on a page of the site, as texts. tests/test_site_looks.py runs it in a browser.
() => {
  const faults = [];
  const article = document.querySelector("article");
  const seen = (e) => e.getBoundingClientRect().width > 0 && getComputedStyle(e).visibility !== "hidden";
  const texts = (root, without) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), found = [];
    for (let node; (node = walker.nextNode()); ) if (node.data.trim() && !node.parentElement.closest(without)) found.push(node);
    return found;
  };
  const scrolls = (e) => e && e !== document.body && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));

  if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is wider than the screen");
  for (const e of article.querySelectorAll("*"))
    if (e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("svg") && !scrolls(e)) faults.push(`too wide: ${e.outerHTML.slice(0, 80)}`);
  for (const image of document.images) if (seen(image) && !image.naturalWidth) faults.push(`broken: ${image.src}`);
  for (const node of texts(article, "pre, code, script, style"))
    if (/^::: |\{\{|\*\*\S|\]\(\S+\)|\]\[|\[\^|^!!! |^#{1,6} |^\s*\|.*\|/m.test(node.data)) faults.push(`Markdown: ${node.data.trim().slice(0, 80)}`);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push(`twice: #${id}`);
  for (const e of article.querySelectorAll("h1, h2, h3, h4, h5, h6")) if (!e.textContent.replace("¶", "").trim()) faults.push("an empty heading");

  // The contrast of each text with what is behind it: 4.5 to 1, or 3 to 1 if it is large.
  const weak = new Set();
  const parsed = (colour) => {
    if (!/^rgba?\(/.test(colour)) weak.add(`not rgb: ${colour}`);
    return colour.match(/[\d.]+/g).map(Number).concat(1).slice(0, 4);
  };
  const over = ([r, g, b, a], below) => {
    const alpha = a + below[3] * (1 - a);
    return [r, g, b].map((c, i) => (alpha ? (c * a + below[i] * below[3] * (1 - a)) / alpha : 0)).concat(alpha);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const node of texts(document.body, "script, style, noscript, svg, .mermaid, .headerlink, .md-search, .md-dialog, .md-top")) {
    const e = node.parentElement, style = getComputedStyle(e);
    let behind = [0, 0, 0, 0], opacity = 1;
    for (let each = e; each; each = each.parentElement) {
      const at = getComputedStyle(each);
      opacity *= at.opacity;
      behind = over(behind, parsed(at.backgroundColor));
    }
    if (!seen(e) || opacity < 0.05) continue;
    behind = over(behind, [255, 255, 255, 1]);
    const [r, g, b, a] = parsed(style.color);
    const [low, high] = [light(over([r, g, b, a * opacity], behind)), light(behind)].sort((x, y) => x - y);
    const large = parseFloat(style.fontSize) >= 24;
    if ((high + 0.05) / (low + 0.05) < (large ? 3 : 4.5)) weak.add(`weak: ${e.tagName}.${e.className} ${style.color}`);
  }
  return [...faults, ...weak];
}
