// Enlarges a figure where scripts run: a button for each figure that has its data beside it. Drag to zoom, double-click
// or "Whole range" to go back, click a name to hide it. Without scripts the drawings say all of this too.
(function () {
  "use strict";
  const page = getComputedStyle(document.documentElement);
  const colour = (name) => page.getPropertyValue(name).trim();

  function paint(index) {
    const probe = document.createElement("i");
    probe.className = index < 0 ? "aa" : "e" + (index % 8);
    document.body.append(probe);
    const fill = getComputedStyle(probe).fill;
    probe.remove();
    return "#" + fill.match(/\d+/g).slice(0, 3).map((part) => (+part).toString(16).padStart(2, "0")).join("");
  }

  // The engine's own marker at every point, as uPlot wants it: a path to fill and to stroke.
  function marks(line, radius) {
    return (chart, series, first, last) => {
      const path = new Path2D(), size = radius * devicePixelRatio, [xs, ys] = [chart.data[0], chart.data[series]];
      for (let i = first; i <= last; i++) {
        if (ys[i] == null) continue;
        const x = chart.valToPos(xs[i], "x", true), y = chart.valToPos(ys[i], "y", true), corners = new Path2D();
        if (line.shape.length) line.shape.forEach(([dx, dy]) => corners.lineTo(x + size * dx, y + size * dy));
        else corners.arc(x, y, size, 0, 7);
        corners.closePath();
        path.addPath(corners);
      }
      return { fill: path, stroke: path, flags: 3 };
    };
  }

  function axis(label, show) {
    const ink = colour("--soft"), grid = { stroke: colour("--grid"), width: 1 };
    return { label, stroke: ink, grid, ticks: grid, size: 64, values: show };
  }

  function options(plot, width) {
    const across = axis(plot.x, null), up = axis(plot.y, (_, values) => values.map((value) => say(value, plot.unit)));
    across.size = 44;
    if (plot.ticks.length) {
      across.splits = (_, axis, low, high) => plot.ticks.map((tick) => tick[0]).filter((at) => at >= low && at <= high);
      across.values = (chart, places) => named(chart, plot, places);
    } else across.values = (_, values) => values;
    const series = [{ label: plot.x, value: (_, at) => (at == null ? "" : level(plot, at)) }];
    for (const line of plot.lines) {
      const ink = paint(line.index), value = (_, found) => (found == null ? "" : say(found, plot.unit));
      const dot = { show: true, fill: ink + "99", stroke: ink, width: 0, paths: marks(line, 2.6) };
      series.push({ label: line.name + (line.levels.length ? ", trials" : ""), stroke: ink, paths: () => null, points: dot, value });
      if (line.levels.length) {
        const dash = line.index < 0 ? [3, 4] : [];
        const mark = { show: true, fill: line.index < 0 ? colour("--card") : ink, stroke: ink, width: 1.5, paths: marks(line, 4.6) };
        series.push({ label: line.name, stroke: ink, width: 2, dash, spanGaps: true, points: mark, value });
      }
    }
    return {
      width, height: Math.max(320, Math.min(560, width * 0.55)), series, axes: [across, up],
      scales: { x: { time: false }, y: { distr: plot.log ? 3 : 1 } },
      cursor: { drag: { x: true, y: true, uni: 24 } },
    };
  }

  function named(chart, plot, places) {
    let last = -Infinity;
    return places.map((place) => {
      const at = chart.valToPos(place, "x");
      if (at - last < 44) return "";
      last = at;
      return level(plot, place);
    });
  }

  function say(value, unit) {
    return value == null ? "" : Number(value.toPrecision(3)).toLocaleString("en") + unit;
  }

  function level(plot, at) {
    const found = plot.ticks.filter((tick) => Math.abs(tick[0] - at) <= plot.spread);
    return found.length ? found[0][1] : say(at, "");
  }

  function tables(plot) {
    const made = [];
    for (const line of plot.lines)
      for (const points of line.levels.length ? [line.trials, line.levels] : [line.trials]) {
        const sorted = points.slice().sort((a, b) => a[0] - b[0]);
        made.push([sorted.map((point) => point[0]), sorted.map((point) => point[1])]);
      }
    return uPlot.join(made);
  }

  function button(text, row, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", () => act(made));
    row.append(made);
    return made;
  }

  for (const source of document.querySelectorAll("script.plot")) {
    const figure = source.closest("figure"), row = document.createElement("p"), place = document.createElement("div");
    let drawn = null;
    row.className = "zoom";
    place.hidden = true;
    source.after(row, place);
    const open = button("Zoom", row, (self) => {
      const plot = JSON.parse(source.textContent);
      place.hidden = whole.hidden = !place.hidden;
      self.setAttribute("aria-expanded", String(!place.hidden));
      if (drawn || place.hidden) return;
      place.setAttribute("role", "group");
      place.setAttribute("aria-label", "Enlarged: " + figure.querySelector("h3").textContent);
      drawn = new uPlot(options(plot, place.clientWidth), tables(plot), place);
      addEventListener("resize", () => place.hidden || drawn.setSize({ width: place.clientWidth, height: drawn.height }));
    });
    open.setAttribute("aria-expanded", "false");
    const whole = button("Whole range", row, () => drawn.setData(drawn.data, true));
    whole.hidden = true;
  }
})();
