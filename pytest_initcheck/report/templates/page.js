"use strict";
(() => {
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const models = all(".model");
  const narrow = () => window.innerWidth < 600;

  // -- theme ---------------------------------------------------------------------------------
  const palettes = json("palettes");
  const button = one("#theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const kept = () => { try { return localStorage.getItem("initcheck-theme"); } catch { return null; } };
  const theme = () => document.documentElement.dataset.theme || (system.matches ? "dark" : "light");
  function paint() {
    button.setAttribute("aria-pressed", String(theme() === "dark"));
    for (const plot of drawn) draw(plot);
  }
  button.addEventListener("click", () => {
    const chosen = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try { localStorage.setItem("initcheck-theme", chosen); } catch { /* a page from a file may keep nothing */ }
    paint();
  });
  system.addEventListener("change", paint);

  // -- plots ---------------------------------------------------------------------------------
  const drawn = new Set();
  const parsed = new WeakMap();
  let histogram = null;
  function dataOf(section) {
    if (!parsed.has(section)) {
      const data = JSON.parse(one(".data", section).textContent);
      parsed.set(section, { ...data, values: { ...data.columns, ...data.labels } });
    }
    return parsed.get(section);
  }
  function plotly() {
    if (!window.Plotly) {
      // parsed when the first plot is wanted: the page can be read before
      const script = document.createElement("script");
      script.textContent = one("#plotly").textContent;
      document.head.append(script);
    }
    return window.Plotly;
  }
  function resolved(spec, values) {
    if (Array.isArray(spec)) return spec.map((each) => resolved(each, values));
    if (spec && typeof spec === "object") {
      return Object.fromEntries(Object.entries(spec).map(([key, each]) => [key, resolved(each, values)]));
    }
    if (typeof spec === "string" && spec[0] === "@" && Object.hasOwn(values, spec.slice(1))) return values[spec.slice(1)];
    return spec;
  }
  function draw(plot) {
    const section = plot.closest(".model");
    const data = dataOf(section);
    let spec = data.figure;
    let values = data.values;
    if (plot.classList.contains("reads")) {
      histogram ??= json("histogram");
      spec = histogram;
      const place = one("select", plot.closest("figure")).value;
      values = { ...values, ...data.histograms[place] };
      describe(plot, data, place);
    }
    const figure = resolved(spec, { ...values, ...palettes[theme()] });
    if (narrow() && figure.layout.xaxis.tickmode === "array") {
      // names have no room here: the table tells which number is which site
      const axis = figure.layout.xaxis;
      axis.tickvals = axis.tickvals.filter((_, tick) => tick % 4 === 0);
      Object.assign(axis, { ticktext: axis.tickvals.map(String), tickangle: 0 });
    }
    drawn.add(plot);
    return plotly().react(plot, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  }
  function describe(plot, data, place) {
    const { outside } = data.histograms[place];
    const percent = (100 * outside).toPrecision(2);
    const text = `About ${Number(percent)} % of the values lie where the activation does not respond.`;
    one(".outside", plot.closest("figure")).textContent = text;
    plot.setAttribute("aria-label", `Histogram of the pre-activations of ${data.columns.name[place]}. ${text}`);
  }
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "400px 0px" });
  for (const plot of all(".plot")) near.observe(plot);
  for (const select of all(".choose select")) {
    select.addEventListener("change", () => draw(one(".plot", select.closest("figure"))));
  }

  // -- tables of sites -----------------------------------------------------------------------
  const COLUMNS = [
    ["second_moment", "2nd moment"], ["batch_variance", "centred"], ["gain", "gain"], ["gradient", "gradient"],
    ["saturated", "saturated"], ["dead", "dead"],
  ];
  const RANGES = [["expected", "matched init"], ["spread", "over seeds"]];
  function number(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return size !== 0 && (size >= 1e4 || size < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  }
  const share = (value) => (value === null ? "–" : `${Number((100 * value).toPrecision(3))} %`);
  function element(name, text, className = "", attributes = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }
  function fill(details) {
    const room = one(".wide", details);
    if (room.firstChild) return;
    const section = details.closest(".model");
    const { columns, wrong } = dataOf(section);
    const shown = COLUMNS.filter(([key]) => key in columns);
    const ranges = RANGES.filter(([key]) => `${key}_low` in columns);
    const table = document.createElement("table");
    table.append(element("caption", `Sites of ${one(".name", section).textContent}, in order of execution`, "unseen"));
    const head = document.createElement("tr");
    for (const title of ["#", "Site", "Operation"]) head.append(element("th", title, "", { scope: "col" }));
    for (const [, title] of [...shown, ...ranges]) head.append(element("th", title, "number", { scope: "col" }));
    const thead = document.createElement("thead");
    thead.append(head);
    const body = document.createElement("tbody");
    columns.name.forEach((name, place) => {
      const row = element("tr", "", place === wrong ? "wrong" : "", { id: `${section.id}--site-${place}`, tabindex: "-1" });
      row.append(element("td", place, "number"));
      const title = element("th", name, "", { scope: "row" });
      if (place === wrong) title.append(element("span", "first wrong site", "flag"));
      row.append(title, element("td", columns.op[place]));
      for (const [key] of shown) {
        const value = columns[key][place];
        row.append(element("td", key === "saturated" || key === "dead" ? share(value) : number(value), "number"));
      }
      for (const [key] of ranges) {
        const low = columns[`${key}_low`][place];
        const text = low === null ? "–" : `${number(low)} – ${number(columns[`${key}_high`][place])}`;
        row.append(element("td", text, "number"));
      }
      body.append(row);
    });
    table.append(thead, body);
    room.append(table);
  }
  for (const details of all("details.sites")) details.addEventListener("toggle", () => details.open && fill(details));

  // -- links ---------------------------------------------------------------------------------
  function reveal(hash) {
    const [anchor, site] = hash.slice(1).split("--site-");
    const section = document.getElementById(anchor);
    if (!section || !section.classList.contains("model")) return;
    section.hidden = false;
    one("details", section).open = true;
    let target = section;
    if (site !== undefined) {
      const details = one("details.sites", section);
      details.open = true;
      fill(details);
      target = document.getElementById(`${anchor}--site-${site}`) || section;
      all(".found-row", section).forEach((row) => row.classList.remove("found-row"));
      if (target !== section) target.classList.add("found-row");
    }
    target.scrollIntoView({ block: target === section ? "start" : "center" });
    target.focus({ preventScroll: true });
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#model-']");
    // a link that was followed before changes nothing in the address
    if (link && link.hash === location.hash) reveal(link.hash);
  });
  window.addEventListener("hashchange", () => reveal(location.hash));

  // -- filter --------------------------------------------------------------------------------
  const rows = new Map(all(".overview tbody tr").map((row) => [row.dataset.model, row]));
  function filter() {
    const words = one("#find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(all("input[name='verdict']:checked").map((box) => box.value));
    let count = 0;
    for (const section of models) {
      const { verdict, search } = section.dataset;
      const fits = wanted.has(verdict) && words.every((word) => search.includes(word));
      section.hidden = !fits;
      rows.get(section.id).hidden = !fits;
      count += fits;
    }
    one("#shown").textContent = `${count} of ${models.length} shown`;
  }
  const form = one(".filter");
  if (form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", filter);
  }

  // -- code ----------------------------------------------------------------------------------
  for (const block of navigator.clipboard ? all(".reasons .code") : []) {
    const text = one("code", block).textContent.replace(/\n$/, "");
    const copy = element("button", "Copy", "copy", { type: "button" });
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    });
    block.prepend(copy);
  }

  if (kept()) document.documentElement.dataset.theme = kept();
  paint();
  if (location.hash) reveal(location.hash);
})();
