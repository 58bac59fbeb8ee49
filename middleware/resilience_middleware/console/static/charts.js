// Draws the charts with uPlot, the heat map and the markers of deployments by hand.
"use strict";
window.charts = (() => {
  const NAMES = ["success", "failure", "rejected", "errors", "p50", "p90", "p99"];
  const plots = new Map();
  let all = null;
  let latest = null;

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = { success: "--s-a", failure: "--s-b", rejected: "--s-c", errors: "--s-b", p50: "--s-a", p90: "--s-c", p99: "--s-b" };
  const dash = { failure: [6, 3], rejected: [2, 3], p90: [6, 3], p99: [2, 3] };

  const short = (value) => (value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
  const seconds = (value) => (value === 0 ? "0" : value < 1 ? `${short(value * 1000)}ms` : `${short(value)}s`);
  const units = {
    rate: (value) => `${short(value)}/s`,
    ratio: (value) => `${short(value * 100)}%`,
    seconds,
    heat: seconds,
  };

  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

  function axes(unit, size = 58) {
    const line = { stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const hours = { ...line, size: 28, space: 80, values: (plot, ticks) => ticks.map((each) => clock.format(each * 1000)) };
    return [hours, { ...line, size, values: (plot, ticks) => ticks.map((each) => (each === null ? "" : units[unit](each))) }];
  }

  function width(place) {
    return Math.max(160, place.clientWidth);
  }

  function marks({ ctx, bbox, valToPos }) {
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = css("--ink");
    ctx.font = `${11 * devicePixelRatio}px system-ui`;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const { t, text } of all.markers) {
      const x = valToPos(t, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const left = x > bbox.left + bbox.width * 0.7;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const words = [text.length > 16 ? `${text.slice(0, 15)}…` : text, x + (left ? -4 : 4) * devicePixelRatio, bbox.top + 11 * devicePixelRatio];
      ctx.textAlign = left ? "right" : "left";
      ctx.save(); // a rim, so that they can be read over lines
      ctx.setLineDash([]);
      ctx.strokeStyle = css("--card");
      ctx.lineWidth = 4 * devicePixelRatio;
      ctx.strokeText(...words);
      ctx.restore();
      ctx.fillText(...words);
    }
    ctx.restore();
  }

  // -- lines --------------------------------------------------------------------------------------------------------

  function lines(place, unit, names, data) {
    const fill = names.length === 1;
    const options = {
      width: width(place),
      height: 170,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (plot, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: axes(unit),
      series: [{}, ...names.map((name) => ({
        label: name,
        stroke: css(colour[name] || "--s-a"),
        dash: dash[name],
        width: 2,
        fill: fill ? css("--s-fill") : undefined,
        points: { show: (plot, index) => plot.data[index].filter((value) => value !== null).length < 4, size: 5, fill: css(colour[name] || "--s-a") },
      }))],
      hooks: { draw: [marks] },
    };
    return new uPlot(options, data, place);
  }

  // -- heat ---------------------------------------------------------------------------------------------------------

  function heat(place, bounds, data) {
    const most = Math.max(...bounds.map((bound, row) => Math.max(0, ...data[row + 1].filter((value) => value !== null))), 1e-9);
    const draw = (plot) => {
      const { ctx, bbox } = plot;
      const [times, ...rows] = plot.data;
      const wide = times.length > 1 ? bbox.width / times.length : bbox.width;
      const high = bbox.height / bounds.length;
      ctx.save();
      ctx.fillStyle = css("--s-a");
      rows.forEach((values, row) => {
        values.forEach((value, at) => {
          if (!value) return;
          ctx.globalAlpha = 0.12 + 0.88 * Math.sqrt(Math.min(1, value / most));
          ctx.fillRect(bbox.left + at * wide, bbox.top + bbox.height - (row + 1) * high + 1, Math.ceil(wide), Math.max(1, high - 2));
        });
      });
      ctx.restore();
    };
    const labels = (plot, ticks) => ticks.map((row) => {
      const bound = bounds[Math.round(row)];
      return bound === undefined ? "" : bound === "+Inf" ? "more" : seconds(Number(bound));
    });
    const shown = axes("heat");
    shown[1] = { ...shown[1], grid: { show: false }, splits: () => bounds.map((_, row) => row).filter((row) => row % 2 === 0), values: labels };
    const options = {
      width: width(place),
      height: 170,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: [-0.5, bounds.length - 0.5] } },
      axes: shown,
      series: [{}, ...bounds.map((bound) => ({ label: bound, stroke: "transparent", points: { show: false } }))],
      hooks: { draw: [draw, marks] },
    };
    return new uPlot(options, data, place);
  }

  // -- all of them --------------------------------------------------------------------------------------------------

  function series(id, unit) {
    const found = all.charts[id] || {};
    let names = Object.keys(found);
    if (unit === "heat") {
      names.sort((a, b) => (a === "+Inf" ? 1 : b === "+Inf" ? -1 : a - b));
      const used = names.map((name) => found[name].some((value) => value));
      const first = used.indexOf(true);
      names = first < 0 ? [] : names.slice(first, used.lastIndexOf(true) + 1);
    } else names.sort((a, b) => NAMES.indexOf(a) - NAMES.indexOf(b));
    return [names, [all.t, ...names.map((name) => found[name])]];
  }

  function draw() {
    for (const section of document.querySelectorAll("[data-chart]")) {
      const { chart: id, unit } = section.dataset;
      const [names, data] = series(id, unit);
      const place = section.querySelector(".plot");
      const key = names.join();
      const before = plots.get(id);
      if (before && before.key === key && unit !== "heat") {
        before.plot.setData(data);
        continue;
      }
      if (before && before.plot) before.plot.destroy();
      place.replaceChildren();
      plots.set(id, { key, plot: null });
      if (!names.length) {
        place.textContent = `No requests within ${document.body.dataset.window}.`;
        place.classList.add("nothing");
        continue;
      }
      place.classList.remove("nothing");
      plots.set(id, { key, plot: (unit === "heat" ? heat(place, names, data) : lines(place, unit, names, data)) });
    }
  }

  function points(data) {
    all = data;
    draw();
    if (latest) now(latest);
  }

  // Series that began after the last full point have no past: they are drawn from this very second on.
  function begin(data) {
    if (!all) return;
    let begun = false;
    for (const { dataset: { chart: id, unit } } of document.querySelectorAll("[data-chart]")) {
      all.charts[id] = all.charts[id] || {};
      if (unit === "heat") {
        if (Object.keys(all.charts[id]).length) continue;
        for (const [name, value] of Object.entries(data.charts[id] || {})) {
          all.charts[id][name] = all.t.map((_, at) => (at === all.t.length - 1 ? value : null));
          begun = begun || value > 0;
        }
        continue;
      }
      for (const name of Object.keys(data.charts[id] || {})) {
        if (name in all.charts[id]) continue;
        all.charts[id][name] = all.t.map(() => null);
        begun = true;
      }
    }
    if (begun) draw();
  }

  function now(data) {
    latest = data;
    begin(data);
    for (const place of document.querySelectorAll("[data-worker]")) place.textContent = data.worker;
    for (const section of document.querySelectorAll("[data-chart]")) {
      const { chart: id, unit } = section.dataset;
      const place = section.querySelector("[data-now]");
      const found = data.charts[id] || {};
      if (unit === "heat") continue;
      const names = Object.keys(found).sort((a, b) => NAMES.indexOf(a) - NAMES.indexOf(b));
      place.replaceChildren(...names.map((name) => {
        const item = document.createElement("span");
        item.dataset.series = name;
        const label = document.createElement("i");
        label.textContent = name;
        item.append(label, ` ${data.texts[id][name]}`);
        return item;
      }));
      tail(id, data.t, found);
    }
  }

  // The point of this very second, which the next full one takes the place of.
  function tail(id, t, found) {
    const { plot } = plots.get(id) || {};
    if (!plot || !all) return;
    const names = plot.series.slice(1).map((each) => each.label);
    const own = all.charts[id];
    const wide = all.t.at(-1) - all.t[0];
    plot.setData([[...all.t, Math.max(t, all.t.at(-1))], ...names.map((name) => [...own[name], found[name] ?? null])], false);
    plot.setScale("x", { min: t - wide, max: t });
  }

  function again() {
    for (const { plot } of plots.values()) if (plot) plot.destroy();
    plots.clear();
    if (!all) return;
    draw();
    if (latest) now(latest);
  }

  let wide = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== wide) (wide = innerWidth), again();
  });
  for (const other of ["(prefers-color-scheme: dark)", "print"]) matchMedia(other).addEventListener("change", again);

  return { points, now };
})();
