'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const byId = (id) => document.getElementById(id);
  /** What there is of a derivation in the page: its steps as articles, and its boxes by step ("s3") and variable ("v3"). */
  const derivations = data.derivations.map((derivation, k) => {
    const all = (selector) => [...document.querySelectorAll(`[data-derivation="${k}"] ${selector}`)];
    const boxes = new Map();
    for (const box of all('.box')) {
      const id = box.dataset.id.split('.')[0];
      boxes.set(id, [...(boxes.get(id) || []), box]);
      box.setAttribute('role', 'button');
      box.setAttribute('tabindex', '-1');
      const shown = [...box.querySelectorAll('text')].map((line) => line.textContent).join(' ');
      box.setAttribute('aria-label', `${shown}, ${box.querySelector('title').textContent}`);
    }
    return {...derivation, boxes, arrows: all('.arrow'), articles: all('article'), chart: all('.curve')[0]};
  });
  let d = derivations[0];  // the one that is shown
  let now = 0;  // the place of the current step
  let opened = null;  // the tensor that is opened
  let way = new Set();  // the boxes of a weight's path

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const number = (v) => (v === null ? '—' : typeof v !== 'number' ? String(v) : Number.isInteger(v) && Math.abs(v) < 1e6
    ? String(v) : Math.abs(v) >= 1e5 || (v && Math.abs(v) < 1e-3) ? v.toExponential(3) : v.toPrecision(4));
  const bytes = (n) => {
    if (n < 1024) return `${n} B`;
    const units = ['KiB', 'MiB', 'GiB', 'TiB'];
    let at = -1;
    do { n /= 1024; at += 1; } while (n >= 1023.95 && at < 3);
    return `${n.toFixed(1)} ${units[at]}`;
  };

  // The step ----------------------------------------------------------------------------------------------------------

  function go(place, scroll = true) {
    now = Math.min(Math.max(place, 0), d.steps.length - 1);
    d.articles.forEach((article, i) => { article.hidden = i !== now; });
    byId('slider').value = now + 1;
    byId('slider').setAttribute('aria-valuetext', `step ${now + 1}: ${d.articles[now].querySelector('h3').textContent}`);
    byId('count').textContent = `${now + 1} of ${d.steps.length}`;
    for (const id of ['first', 'back']) byId(id).disabled = now === 0;
    for (const id of ['next', 'last']) byId(id).disabled = now === d.steps.length - 1;
    history.replaceState(null, '', `#${now + 1}`);  // no element is called so: the page stays where it is
    paint();
    memory();
    if (scroll) show(d.boxes.get(`s${now + 1}`)?.[0]);
  }

  /** What is read, made, held and freed at this step, in the graph. */
  function paint() {
    const step = d.steps[now];
    const read = new Set(step.inputs), made = new Set(step.outputs);
    for (const [id, those] of d.boxes) {
      const at = Number(id.slice(1));
      const isStep = id[0] === 's';
      const v = isStep ? null : d.variables[at];
      const from = isStep ? at : v.written_by ?? 0;
      const until = isStep || v.freed_after === null ? Infinity : v.freed_after;
      for (const box of those) {
        box.classList.toggle('future', from > now + 1);
        box.classList.toggle('freed', until < now + 1);
        box.classList.toggle('now', isStep && at === now + 1);
        box.classList.toggle('read', !isStep && read.has(at));
        box.classList.toggle('made', !isStep && made.has(at));
        box.classList.toggle('open', !isStep && at === opened?.id);
        box.classList.toggle('way', way.has(id));
        box.setAttribute('tabindex', isStep && at === now + 1 || !isStep && (read.has(at) || made.has(at)) ? '0' : '-1');
        if (isStep && at === now + 1) box.setAttribute('aria-current', 'step');
        else box.removeAttribute('aria-current');
      }
    }
    const here = `s${now + 1}`;
    for (const arrow of d.arrows) {
      const ends = [arrow.dataset.from, arrow.dataset.to].map((id) => id.split('.')[0]);
      arrow.classList.toggle('now', ends.includes(here));
      arrow.classList.toggle('way', ends.every((id) => way.has(id)) && !arrow.classList.contains('kept'));
    }
  }

  function memory() {
    const marker = d.chart.querySelector('.now');
    const x = d.curve.left + (now + 0.5) * d.curve.across;
    marker.setAttribute('x1', x);
    marker.setAttribute('x2', x);
    const held = d.variables.filter((v) => v.memory !== null && v.written_by !== null && v.written_by <= now + 1
      && (v.freed_after === null || v.freed_after >= now + 1));
    const names = [...held].sort((a, b) => b.nbytes - a.nbytes).slice(0, 6).map((v) => `${v.symbol} ${bytes(v.nbytes)}`);
    byId('held').textContent = `At step ${now + 1} the plan has ${bytes(d.steps[now].live_bytes)} in use`
      + (names.length ? `; the largest: ${names.join(', ')}.` : '.');
  }

  /** Scroll the graph, and it alone, so that a box is in its middle. */
  function show(box) {
    if (!box) return;
    const frame = document.querySelector('#graph .scroll');
    const a = box.getBoundingClientRect(), b = frame.getBoundingClientRect();
    frame.scrollTo(frame.scrollLeft + a.x + a.width / 2 - b.x - b.width / 2, frame.scrollTop + a.y + a.height / 2 - b.y - b.height / 2);
  }

  // A tensor ----------------------------------------------------------------------------------------------------------

  function open(v, focus = true) {
    opened = v;
    way = new Set();
    byId('tensor').hidden = false;
    byId('tensor-name').textContent = v.name;
    byId('tensor-about').replaceChildren(...v.about.map((text) => make('p', {textContent: text})));
    byId('as-numbers').disabled = !v.numbers;
    byId('as-map').disabled = !v.map;
    byId('path').hidden = true;
    present(v.numbers ? 'numbers' : 'map');
    paint();
    if (d.paths[v.id]?.length) path(v, d.paths[v.id][0].index, false);
    if (focus) {
      byId('tensor-name').focus({preventScroll: true});
      byId('tensor').scrollIntoView({block: 'nearest'});
    }
  }

  function present(how) {
    const v = opened;
    byId('as-numbers').setAttribute('aria-pressed', how === 'numbers');
    byId('as-map').setAttribute('aria-pressed', how === 'map');
    byId('slice').replaceChildren();
    const place = byId('tensor-body');
    if (how === 'numbers' && v.numbers) place.replaceChildren(...numbers(v));
    else if (v.map) place.replaceChildren(...heat(v));
    else place.replaceChildren(make('p', {textContent: 'Its elements are not on this page.'}));
  }

  /** A table of the last two axes; for more axes, of one slice, which can be chosen. */
  function numbers(v) {
    const shape = v.shape.length > 1 ? v.shape : [1, v.shape[0] ?? 1];
    const [rows, columns] = shape.slice(-2);
    const slices = v.numbers.length / Math.max(rows * columns, 1);
    const frame = make('div', {className: 'wide numbers', tabIndex: 0});
    frame.setAttribute('role', 'region');
    frame.setAttribute('aria-label', `elements of ${v.name}`);
    const fill = (slice) => {
      const head = make('tr', {}, make('td'), ...Array.from({length: columns}, (_, j) => make('th', {scope: 'col', textContent: j})));
      const body = Array.from({length: rows}, (_, i) => make('tr', {}, make('th', {scope: 'row', textContent: i}),
        ...Array.from({length: columns}, (_, j) => cell(v, slice * rows * columns + i * columns + j))));
      frame.replaceChildren(make('table', {}, make('thead', {}, head), make('tbody', {}, ...body)));
    };
    fill(0);
    if (slices > 1) {
      const choice = make('select', {}, ...Array.from({length: slices}, (_, k) =>
        make('option', {value: k, textContent: `[${indexOf(k * rows * columns, v.shape).slice(0, -2).join(', ')}]`})));
      choice.addEventListener('change', () => fill(Number(choice.value)));
      byId('slice').replaceChildren(make('label', {}, 'slice ', choice));
    }
    return [frame];
  }

  function cell(v, flat) {
    const td = make('td');
    td.dataset.at = flat;
    const value = v.numbers[flat];
    if (v.role === 'parameter' && v.gradient !== null) {
      const button = make('button', {type: 'button', textContent: number(value)});
      button.addEventListener('click', () => path(v, indexOf(flat, v.shape)));
      td.append(button);
    } else td.textContent = number(value);
    return td;
  }

  const indexOf = (flat, shape) => shape.reduceRight(([found, rest], n) => [[rest % n, ...found], Math.floor(rest / n)], [[], flat])[0];
  const flatOf = (index, shape) => index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);

  /** A heat map: blue below 0, orange above, the paper at 0; tiles of the last two axes for more axes. */
  function heat(v) {
    const {rows, columns, levels, low, high, note} = v.map;
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    const canvas = make('canvas', {width: columns, height: rows});
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `heat map of ${v.name}, from ${number(low)} to ${number(high)}`);
    const scale = Math.max(1, Math.min(24, Math.floor(480 / columns), Math.floor(480 / rows)));
    canvas.style.width = `${columns * scale}px`;
    const pixels = Uint8Array.from(atob(levels), (c) => c.charCodeAt(0));
    draw(canvas, (i) => (pixels[i] === 255 ? null : (low + ((high - low) * pixels[i]) / 254) / most));
    const bar = make('canvas', {width: 101, height: 1});
    bar.setAttribute('aria-hidden', 'true');
    draw(bar, (i) => (i - 50) / 50);
    const ends = make('div', {className: 'scale'}, number(-most), bar, number(most));
    return [canvas, ends, make('p', {textContent: note})];
  }

  function draw(canvas, value) {
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    const paper = dark ? [20, 23, 28] : [255, 255, 255];
    const [cold, warm] = dark ? [[110, 168, 254], [255, 146, 85]] : [[37, 99, 235], [194, 65, 12]];
    const context = canvas.getContext('2d');
    const image = context.createImageData(canvas.width, canvas.height);
    for (let i = 0; i < canvas.width * canvas.height; i += 1) {
      const t = value(i);
      const colour = t === null ? [128, 128, 128] : paper.map((p, k) => p + ((t < 0 ? cold : warm)[k] - p) * Math.abs(t));
      image.data.set([...colour, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
  }

  // A weight: its path to the loss, and its gradient beside the central difference -------------------------------------

  function path(v, index, scroll = true) {
    const flat = flatOf(index, v.shape);
    const known = d.paths[v.id] || [];
    const found = known.find((p) => flatOf(p.index, v.shape) === flat);
    const gradient = d.variables[v.gradient];
    const through = d.ways[v.id] || [];
    const leads = (o) => d.variables[o].role === 'loss' || through.some((s) => d.steps[s - 1].inputs.includes(o));
    way = new Set([`v${v.id}`,
      ...through.flatMap((s) => [`s${s}`, ...d.steps[s - 1].outputs.filter(leads).map((o) => `v${o}`)])]);
    for (const td of document.querySelectorAll('#tensor-body td')) td.classList.toggle('chosen', Number(td.dataset.at) === flat);
    const name = index.length ? `${v.symbol}[${index.join(', ')}]` : v.symbol;
    const analytic = found ? found.gradient : gradient?.numbers ? gradient.numbers[flat] : null;
    const row = (label, text) => make('tr', {}, make('th', {scope: 'row', textContent: label}), make('td', {textContent: text}));
    const rows = [row(name, number(found ? found.value : v.numbers ? v.numbers[flat] : null)),
      row(`∂J/∂${name} by backpropagation`, analytic === null ? 'not on this page' : precise(analytic))];
    if (found) {
      rows.push(row(found.about, precise(found.difference)));
      rows.push(row('they differ by', Math.abs(found.difference - found.gradient).toExponential(1)));
    } else rows.push(row('central difference', 'on this page for other elements'));
    const link = (text, to) => {
      const button = make('button', {type: 'button', textContent: text});
      button.addEventListener('click', to);
      return button;
    };
    const walk = through.map((s) => make('li', {}, link(`${s} ${d.articles[s - 1].querySelector('h3').textContent}`, () => go(s - 1))));
    const others = known.filter((p) => p !== found).slice(0, 12);
    byId('path').replaceChildren(
      make('h3', {textContent: `How J depends on ${name}`}),
      make('div', {className: 'wide'}, make('table', {}, make('tbody', {}, ...rows))),
      make('p', {textContent: through.length ? 'Through these steps, from the weight to the objective:' : 'Through no step.'}),
      make('ol', {}, ...walk),
      ...(others.length ? [make('p', {}, 'Other elements with a central difference: ',
        ...others.flatMap((p) => [link(`[${p.index.join(', ')}]`, () => path(v, p.index)), ' ']))] : []),
    );
    byId('path').hidden = false;
    paint();
    if (scroll) byId('path').scrollIntoView({block: 'nearest'});
  }

  const precise = (v) => (v === null ? '—' : v === 0 ? '0' : Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5 ? v.toExponential(7) : v.toPrecision(8));

  function close() {
    byId('tensor').hidden = true;
    opened = null;
    way = new Set();
    paint();
  }

  // A text: of a primitive, or of a kernel -----------------------------------------------------------------------------

  function source(name) {
    byId('source').hidden = false;
    byId('source-name').textContent = name;
    byId('source-text').textContent = data.sources[name];
    byId('source-name').focus();
    byId('source').scrollIntoView({block: 'start'});
  }

  /** Show another derivation of a lesson, from its first step. */
  function bring(k) {
    d = derivations[k];
    for (const part of document.querySelectorAll('[data-derivation]')) part.hidden = Number(part.dataset.derivation) !== k;
    byId('slider').max = d.steps.length;
    close();
    go(0);
    document.querySelector('.app').scrollIntoView();
  }

  // What is pressed ----------------------------------------------------------------------------------------------------

  const moves = {first: () => 0, back: () => now - 1, next: () => now + 1, last: () => d.steps.length - 1};
  for (const [id, to] of Object.entries(moves)) byId(id).addEventListener('click', () => go(to()));
  byId('slider').addEventListener('input', () => go(Number(byId('slider').value) - 1));
  byId('as-numbers').addEventListener('click', () => present('numbers'));
  byId('as-map').addEventListener('click', () => present('map'));
  byId('close-tensor').addEventListener('click', close);
  byId('close-source').addEventListener('click', () => { byId('source').hidden = true; });
  byId('fit').addEventListener('click', () => {
    const whole = document.querySelector('#graph .scroll').classList.toggle('whole');
    byId('fit').setAttribute('aria-pressed', whole);
    show(d.boxes.get(`s${now + 1}`)?.[0]);
  });
  for (const {chart} of derivations) {
    chart.addEventListener('click', (event) => {
      const box = chart.getBoundingClientRect();
      go(Math.floor(((event.clientX - box.x) / box.width * d.curve.width - d.curve.left) / d.curve.across));
    });
  }
  document.addEventListener('click', (event) => {
    const box = event.target.closest('#graph .box');
    if (box) return press(box);
    const found = event.target.closest('[data-variable], [data-jacobian], [data-source], [data-bring]')?.dataset;
    if (found?.variable) open(d.variables[Number(found.variable)]);
    else if (found?.jacobian) open(d.jacobians[found.jacobian]);
    else if (found?.source) source(found.source);
    else if (found?.bring) bring(Number(found.bring));
  });
  function press(box) {
    const id = box.dataset.id.split('.')[0];
    if (id[0] === 's') go(Number(id.slice(1)) - 1, false);
    else open(d.variables[Number(id.slice(1))], false);
  }
  const keys = {ArrowRight: 'next', ArrowLeft: 'back', Home: 'first', End: 'last'};
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea')) return;
    const box = event.target.closest('#graph .box');
    if (box && (event.key === 'Enter' || event.key === ' ')) { event.preventDefault(); press(box); return; }
    if (event.target.closest('.wide, pre') || !(event.key in keys)) return;
    event.preventDefault();
    go(moves[keys[event.key]]());
  });
  /** The place of the step that the address names: page.html#3. */
  const asked = () => (/^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) - 1 : 0);
  addEventListener('hashchange', () => {
    go(asked());
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    if (opened !== null) present(byId('as-map').getAttribute('aria-pressed') === 'true' ? 'map' : 'numbers');
  });

  go(asked());
})();
