"use strict";
// The cost model of crawler/compare/advise/model.py in the reader's browser: equal numbers, which a test checks.

const SLOTS = 64;
const per = (count, seconds) => (seconds > 0 ? count / seconds : Infinity);

function smoothMinimum(a, b, knee) {
  const low = Math.min(a, b), high = Math.max(a, b);
  return knee === null || high === Infinity ? low : low * Math.pow(1 + Math.pow(low / high, knee), -1 / knee);
}

function own(costs, work) {
  return (costs.cpu + costs.byte * work.payload) * Math.pow(work.slots / SLOTS, costs.growth);
}

function forecast(costs, work) {
  const whole = own(costs, work), serial = whole * costs.serial;
  const many = costs.mode === "processes" || costs.mode === "prefork";
  const workers = many ? Math.min(work.slots, work.cores) : 1;
  const computed = [
    [per(workers, serial + work.cpu), workers === 1 ? "one core" : "workers"],
    [per(work.cores, whole + work.cpu), "cores"],
    [costs.mode === "processes" ? per(1, whole - serial) : Infinity, "parent"],
  ];
  const [cpu, limit] = computed.reduce((lowest, one) => (one[0] < lowest[0] ? one : lowest));
  const slots = per(work.slots, work.latency + costs.hold + serial + work.cpu);
  const rate = smoothMinimum(slots, cpu, costs.knee);
  const polite = work.delay ? per(work.hosts, work.delay + work.latency) : Infinity;
  return polite <= rate ? { rate: polite, limit: "politeness" } : { rate, limit: slots <= cpu ? "slots" : limit };
}

function withInterval(engine, work, pages) {
  const found = forecast(engine.costs, work);
  const alone = forecast(engine.costs, { ...work, delay: 0 }).rate;
  const free = { mode: engine.costs.mode, hold: 0, cpu: 0, byte: 0, serial: 1, growth: 0, knee: null };
  const most = forecast(free, work).rate;
  return {
    name: engine.name, rate: found.rate, limit: found.limit, cpu: own(engine.costs, work),
    low: Math.min(alone / engine.reach, most), high: Math.min(alone * engine.reach, most),
    seconds: engine.costs.start + pages / found.rate,
  };
}

function advice(found) {
  const best = found.reduce((a, b) => (b.rate > a.rate ? b : a));
  const tied = found.filter((one) => one.high >= best.low);
  const chosen = tied.reduce((a, b) => (b.cpu < a.cpu ? b : a));
  return { chosen: chosen.name, tied: tied.filter((one) => one !== chosen).map((one) => one.name) };
}

function start(area) {
  const model = JSON.parse(area.querySelector("script").textContent);
  const fields = [...area.querySelectorAll("input")];
  const body = area.querySelector("tbody"), said = area.querySelector("output");
  const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
  const time = (seconds) => (seconds < 60 ? `${number(seconds)} s` : seconds < 3600 ? `${number(seconds / 60)} min`
    : `${number(seconds / 3600)} h`);

  function show() {
    const wrong = fields.find((field) => field.value === "" || !field.validity.valid);
    if (wrong) {
      const whole = wrong.step === "1" ? "a whole number" : "a number";
      said.textContent = `${wrong.parentNode.firstChild.textContent.trim()}: ${whole} from ${wrong.min} to ${wrong.max}`;
      body.replaceChildren();
      return;
    }
    const work = Object.fromEntries(fields.map((field) => [field.name, Number(field.value) * Number(field.dataset.unit)]));
    const found = model.engines.map((engine) => withInterval(engine, work, work.pages));
    const { chosen, tied } = advice(found);
    said.textContent = tied.length
      ? `${chosen}: ${tied.join(", ")} cannot be told from it, and it takes the least CPU a page`
      : `${chosen}: more pages/s than any other`;
    const beyond = Object.entries(model.ranges).filter(([name, [low, high]]) => work[name] < low || work[name] > high);
    if (beyond.length) said.textContent += `. Beyond what was measured: ${beyond.map(([name]) => model.names[name]).join(", ")}`;
    body.replaceChildren(...found.map((one) => {
      const row = document.createElement("tr"), head = document.createElement("th");
      head.scope = "row";
      head.textContent = one.name;
      row.append(head, ...[
        `${number(one.rate)} [${number(one.low)}, ${number(one.high)}]`, time(one.seconds), model.limits[one.limit],
      ].map((text, place) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        if (place === 2) cell.className = "text";
        return cell;
      }));
      return row;
    }));
  }

  fields.forEach((field) => field.addEventListener("input", show));
  area.hidden = false;
  show();
}

if (typeof document !== "undefined") document.querySelectorAll(".calculator").forEach(start);
