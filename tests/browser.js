// What `tests.browser.Tab` asks of any page. `var`, so that it can be said twice.

var weakTexts = () => {
  const colour = (text) => {
    const m = text.match(/[\d.]+%?/g);
    if (!m || !/^rgba?\(/.test(text) && !/^color\(srgb/.test(text)) return [0, 0, 0, 0];
    const scale = text.startsWith('color(') ? 255 : 1;
    return [m[0] * scale, m[1] * scale, m[2] * scale, m[3] === undefined ? 1 : parseFloat(m[3])];
  };
  const over = (a, b) => {  // a lies on b
    const alpha = a[3] + b[3] * (1 - a[3]);
    if (!alpha) return [0, 0, 0, 0];
    return [0, 1, 2].map((i) => (a[i] * a[3] + b[i] * b[3] * (1 - a[3])) / alpha).concat(alpha);
  };
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const drawn = (element, fillOnly) => {
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement && element.tagName !== 'svg';
    const own = colour(svg ? style.fill : style.backgroundColor);
    const share = (svg ? parseFloat(style.fillOpacity) : 1) * parseFloat(style.opacity);
    return [own[0], own[1], own[2], own[3] * share];
  };
  const found = [];
  const seen = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || seen.has(element)) continue;
    seen.add(element);
    if (element.closest('script, style, title, noscript') || !element.checkVisibility({visibilityProperty: true})) continue;
    const range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    let box = range.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const inside = (b) => b.left >= 0 && b.top >= 0 && b.right <= innerWidth && b.bottom <= innerHeight;
    if (!inside(box)) {
      element.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
      box = range.getBoundingClientRect();
    }
    const x = Math.min(Math.max(box.left + Math.min(box.width / 2, 20), 1), innerWidth - 1);
    const y = Math.min(Math.max(box.top + box.height / 2, 1), innerHeight - 1);
    const stack = document.elementsFromPoint(x, y);
    const at = stack.indexOf(element);
    if (at < 0) continue;  // scrolled out of sight, or behind something
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    let back = [0, 0, 0, 0];
    for (const under of stack.slice(svg ? at + 1 : at)) back = over(back, drawn(under));
    back = over(back, colour(getComputedStyle(document.body).backgroundColor));
    back = over(back, matchMedia('print').matches ? [255, 255, 255, 1] : colour(getComputedStyle(document.documentElement).backgroundColor));
    back = over(back, matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18, 1] : [255, 255, 255, 1]);
    let front = colour(svg ? style.fill : style.color);
    let shown = 1;
    for (let e = element; e; e = e.parentElement) shown *= parseFloat(getComputedStyle(e).opacity);
    front = over([front[0], front[1], front[2], front[3] * shown], back);
    const [dark, light] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      found.push(`${ratio.toFixed(2)}: ${element.tagName} "${walk.currentNode.data.trim().slice(0, 40)}" ` +
        `rgb(${front.slice(0, 3).map(Math.round)}) on rgb(${back.slice(0, 3).map(Math.round)})`);
    }
  }
  return found;
};

var unlabelled = () => {
  const found = [];
  const named = (e) => (e.getAttribute('aria-label') || e.getAttribute('title') || e.innerText || e.textContent || '').trim()
    || (e.getAttribute('aria-labelledby') || '').split(' ').some((id) => document.getElementById(id)?.textContent.trim())
    || (e.labels && [...e.labels].some((l) => l.textContent.trim()))
    || (e.tagName === 'INPUT' && ['submit', 'button'].includes(e.type) && e.value);
  const shown = (e) => e.checkVisibility();
  if (!document.documentElement.lang) found.push('the page has no language');
  if (!document.title.trim()) found.push('the page has no title');
  const mains = document.querySelectorAll('main, [role=main]');
  if (mains.length !== 1) found.push(`the page has ${mains.length} main parts; expected 1`);
  if (document.querySelectorAll('h1').length !== 1) found.push('the page does not have one h1');
  let level = 0;
  for (const h of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
    if (!shown(h)) continue;
    if (+h.tagName[1] > level + 1) found.push(`after h${level} comes ${h.tagName} "${h.textContent}"`);
    level = +h.tagName[1];
  }
  for (const e of document.querySelectorAll('button, a[href], input:not([type=hidden]), select, textarea, summary, [role=button], [role=img], [tabindex="0"], figure[role], iframe')) {
    if (shown(e) && !named(e)) found.push(`${e.outerHTML.slice(0, 80)} has no name`);
  }
  for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) found.push(`${e.outerHTML.slice(0, 80)} has no alt`);
  for (const e of document.querySelectorAll('svg')) {
    if (shown(e) && !e.closest('[aria-hidden=true], [role=img], button') && !named(e)) found.push('an svg has neither name nor role');
  }
  for (const e of document.querySelectorAll('canvas')) {
    if (shown(e) && !e.closest('[aria-hidden=true]') && !named(e)) found.push('a canvas has no name');
  }
  for (const e of document.querySelectorAll('table')) if (shown(e) && !e.querySelector('th')) found.push('a table has no th');
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of new Set(ids)) if (ids.filter((i) => i === id).length > 1) found.push(`the id ${id} is there twice`);
  return found;
};
