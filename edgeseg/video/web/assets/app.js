// The page: draws the pictures that come over a WebSocket, paints the labels over them, and shows how the run stands.

const SILENT_S = 3; // without a picture from a running stream, or a word from the server
const GIVE_UP_S = 8; // without a word: try a new connection
const RETRY_MS = [300, 1000, 2000, 4000];
const IDLE_HOPS = new Set(["capture"]); // waiting for a camera is no work: left out of sums, and of the chart at first
const SHORT = {
  running: "live", lost: "source lost", offline: "no connection", silent: "no new picture", ended: "ended", failed: "given up", connecting: "connecting",
};
const STAGE_COLORS = {
  capture: "#9ca3af", preprocess: "#56b4e9", infer: "#3b82f6", refine: "#cc79a7", postprocess: "#0d9488",
  temporal: "#65a30d", overlay: "#e69f00", score: "#8b5cf6",
};
const OTHER_COLORS = ["#d55e00", "#d946ef", "#0891b2", "#ca8a04"];

const $ = (id) => document.getElementById(id);
const now_s = () => performance.now() / 1000;

const page = {
  socket: null,
  tries: 0,
  received: 0,
  heard_s: now_s(), // when the server was last heard of
  status: null,
  stream: undefined, // the one that is shown; undefined for all
  tiles: new Map(), // by stream
  said: "",
};
const choice = {
  opacity: recall("opacity", null), // null: what the run says
  hidden: new Set(recall("hidden", [])), // names of classes
  hops: recall("hops", {}), // those switched on or off by hand
};

function recall(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`edgeseg.${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(`edgeseg.${key}`, JSON.stringify(value));
  } catch {
    // private windows may have no storage
  }
}

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

// The connection

function connect() {
  const url = new URL("/live", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  page.socket = socket;
  page.heard_s = now_s();
  socket.onopen = () => page.stream === undefined || socket.send(`show ${page.stream}`);
  socket.onmessage = async ({ data }) => {
    page.heard_s = now_s();
    page.tries = 0;
    if (typeof data === "string") {
      page.status = JSON.parse(data);
      showStatus();
      return;
    }
    try {
      await showPicture(data);
    } finally {
      if (socket.readyState === WebSocket.OPEN) socket.send("next");
    }
  };
  socket.onclose = () => {
    if (page.socket !== socket) return;
    page.socket = null;
    showConditions();
    retryLater();
  };
}

function retryLater() {
  if (!document.hidden) setTimeout(retry, RETRY_MS[Math.min(page.tries++, RETRY_MS.length - 1)]);
}

// A connection that says nothing may never end by itself.
function giveUpSilence() {
  if (!page.socket || document.hidden || now_s() - page.heard_s < GIVE_UP_S) return;
  disconnect();
  retryLater();
}

async function retry() {
  if (page.socket || document.hidden) return;
  try {
    const answer = await fetch("/status.json", { signal: AbortSignal.timeout(5000) });
    if (answer.status === 401) location.reload(); // the token has changed
  } catch {
    // not there yet
  }
  if (!page.socket && !document.hidden) connect();
}

function disconnect() {
  const socket = page.socket;
  page.socket = null;
  socket?.close();
}

document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : page.socket || connect()));

// Pictures

async function showPicture(data) {
  const order = ++page.received;
  const header_bytes = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, header_bytes)));
  const jpeg = new Blob([new Uint8Array(data, 4 + header_bytes, header.jpeg_bytes)], { type: "image/jpeg" });
  const deflated = new Blob([new Uint8Array(data, 4 + header_bytes + header.jpeg_bytes)]);
  const inflated = deflated.stream().pipeThrough(new DecompressionStream("deflate"));
  const [bitmap, buffer] = await Promise.all([createImageBitmap(jpeg), new Response(inflated).arrayBuffer()]);
  const labels = new Uint8Array(buffer);
  for (let i = header.width; i < labels.length; i++) labels[i] ^= labels[i - header.width]; // rows came as differences
  const tile = tileOf(header.stream);
  if (order < tile.order) return bitmap.close(); // a later one was sooner ready
  tile.bitmap?.close();
  Object.assign(tile, { order, bitmap, labels, width: header.width, height: header.height, drawn_s: now_s() });
  tile.figure.dataset.index = header.index;
  paintMask(tile);
  paint(tile);
}

function tileOf(stream) {
  let tile = page.tiles.get(stream);
  if (tile) return tile;
  const canvas = element("canvas", { width: 480, height: 360 });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Live picture ${stream}`);
  const name = element("button", { type: "button", className: "name", textContent: stream });
  name.onclick = () => choose(page.stream === undefined ? stream : undefined);
  const enlarge = element("button", { type: "button", className: "enlarge", title: "Full screen" });
  enlarge.setAttribute("aria-label", "Full screen");
  enlarge.innerHTML =
    '<svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true">' +
    '<path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"/></svg>';
  const banner = element("p", { className: "banner", hidden: true });
  const figure = element("figure", { className: "tile" }, canvas, name, enlarge, banner);
  figure.dataset.stream = stream;
  enlarge.hidden = !document.fullscreenEnabled;
  enlarge.onclick = () => (document.fullscreenElement ? document.exitFullscreen() : figure.requestFullscreen());
  tile = { figure, canvas, banner, name, order: 0, mask: element("canvas"), areas: [], drawn_s: now_s() };
  page.tiles.set(stream, tile);
  $("pictures").append(figure);
  arrange();
  return tile;
}

const IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function maskColors() {
  const table = new Uint32Array(256); // transparent where there is no class
  (page.status?.classes ?? []).forEach(({ name, color }, index) => {
    const rgb = parseInt(color.slice(1), 16);
    if (choice.hidden.has(name) || rgb === 0) return; // a background, which is black, leaves the picture as it is
    const [r, g, b] = [rgb >> 16, (rgb >> 8) & 255, rgb & 255];
    table[index] = IS_LITTLE_ENDIAN ? ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0 : ((rgb << 8) | 255) >>> 0;
  });
  return table;
}

function paintMask(tile) {
  if (!tile.labels) return;
  const { mask, labels, width, height } = tile;
  if (mask.width !== width || mask.height !== height) Object.assign(mask, { width, height });
  const colors = maskColors();
  const counts = new Uint32Array(256);
  const pixels = new Uint32Array(labels.length);
  for (let i = 0; i < labels.length; i++) {
    counts[labels[i]]++;
    pixels[i] = colors[labels[i]];
  }
  mask.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  counts.forEach((count, i) => {
    const area = count / labels.length;
    tile.areas[i] = tile.areas[i] === undefined ? area : 0.8 * tile.areas[i] + 0.2 * area; // or the figures would flicker
  });
}

function paint(tile) {
  if (!tile.bitmap) return;
  const { canvas, width, height } = tile;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(tile.bitmap, 0, 0);
  context.globalAlpha = opacity() / 100;
  context.drawImage(tile.mask, 0, 0);
}

function repaint(masks_too) {
  for (const tile of page.tiles.values()) {
    if (masks_too) paintMask(tile);
    paint(tile);
  }
}

// Streams

function choose(stream) {
  page.stream = stream;
  if (page.socket?.readyState === WebSocket.OPEN) page.socket.send(stream === undefined ? "show" : `show ${stream}`);
  for (const tile of page.tiles.values()) tile.drawn_s = now_s(); // what was not shown is not late
  arrange();
  showStatus();
}

function arrange() {
  const several = page.tiles.size > 1;
  $("pictures").classList.toggle("several", several && page.stream === undefined);
  for (const [stream, tile] of page.tiles) {
    tile.figure.hidden = several && page.stream !== undefined && page.stream !== stream;
    tile.name.hidden = !stream || !several;
  }
}

function showChooser(streams) {
  const names = streams.map(({ stream }) => stream);
  const chooser = $("chooser");
  chooser.hidden = names.length < 2;
  if (chooser.dataset.names !== JSON.stringify(names)) {
    chooser.dataset.names = JSON.stringify(names);
    chooser.replaceChildren(
      ...[undefined, ...names].map((name) => {
        const button = element("button", { type: "button", textContent: name ?? "All" });
        button.onclick = () => choose(name);
        button.stream = name;
        return button;
      }),
    );
  }
  for (const button of chooser.children) button.setAttribute("aria-pressed", button.stream === page.stream);
}

// How the run stands

function showStatus() {
  const { classes = [], streams = [] } = page.status ?? {};
  if (page.stream !== undefined && !streams.some(({ stream }) => stream === page.stream)) page.stream = undefined;
  for (const { stream } of streams) tileOf(stream);
  for (const [stream, tile] of page.tiles) {
    if (streams.length && !streams.some((one) => one.stream === stream)) {
      tile.figure.remove();
      page.tiles.delete(stream);
    }
  }
  arrange();
  showChooser(streams);
  showOpacity();
  showClasses(classes);
  const shown = shownStreams();
  showFigures(shown);
  showStages(shown);
  showTrouble(shown);
  showConditions();
  $("source").textContent = shown.length === 1 ? shown[0].uri : `${shown.length} streams`;
  const viewers = page.status?.viewers ?? 0;
  $("viewers").textContent = viewers === 1 ? "1 viewer" : `${viewers} viewers`;
  $("snapshot").hidden = shown.length !== 1;
  if (shown.length === 1) $("snapshot").href = `/snapshot.jpg?stream=${encodeURIComponent(shown[0].stream)}`;
}

function shownStreams() {
  return (page.status?.streams ?? []).filter(({ stream }) => page.stream === undefined || stream === page.stream);
}

function conditionOf(stream) {
  const unheard_s = now_s() - page.heard_s;
  const for_s = (since) => ` for ${Math.round(since)} s`;
  if (!page.socket || page.socket.readyState > WebSocket.OPEN)
    return ["offline", "No connection to edgeseg", for_s(unheard_s), "trying again"];
  if (unheard_s > SILENT_S) return ["offline", "The connection to edgeseg has stalled", for_s(unheard_s), ""];
  if (!stream) return ["connecting", "Waiting for a stream", "", ""];
  const state_s = stream.for_s + unheard_s;
  if (stream.failed) return ["failed", "The stream was given up", "", stream.failed];
  if (stream.condition === "lost") return ["lost", "Source lost", for_s(state_s), stream.reason];
  if (stream.condition === "ended") return ["ended", "The stream has ended", "", ""];
  if (stream.condition === "connecting") return ["connecting", "Waiting for the source", for_s(state_s), ""];
  const tile = page.tiles.get(stream.stream);
  const seen_s = tile ? now_s() - tile.drawn_s : 0;
  const silent_s = Math.max(stream.frame_age_s === null ? 0 : stream.frame_age_s + unheard_s, seen_s);
  if (silent_s > SILENT_S) return ["silent", "No new picture", for_s(silent_s), ""];
  return ["running", "live", "", ""];
}

function showConditions() {
  if (document.hidden) return;
  const shown = shownStreams();
  const conditions = shown.map((stream) => [stream, conditionOf(stream)]);
  for (const [stream, [condition, what, since, why]] of conditions) {
    const tile = tileOf(stream.stream);
    const runs = condition === "running";
    tile.figure.classList.toggle("stale", !runs);
    tile.banner.hidden = runs;
    tile.banner.dataset.condition = condition;
    const text = runs ? "" : `${what}${since}${why ? `: ${why}` : ""}`;
    if (tile.banner.textContent !== text) tile.banner.textContent = text;
  }
  const ill = conditions.find(([, [condition]]) => condition !== "running");
  const [condition, what] = ill ? ill[1] : conditions.length ? conditions[0][1] : conditionOf(undefined);
  const running = conditions.filter(([, [one]]) => one === "running").length;
  $("state").dataset.condition = condition;
  $("state-text").textContent = conditions.length > 1 && condition !== "offline" ? `${running} of ${conditions.length} live` : SHORT[condition];
  document.querySelector("main").classList.toggle("old", condition === "offline");
  const said = ill ? [ill[0].stream, what].filter(Boolean).join(": ") : what;
  if (said !== page.said) $("said").textContent = page.said = said; // once, and not with every second
  document.title = condition === "running" ? "edgeseg" : `${what} – edgeseg`;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const grouped = (number) => number.toLocaleString("en");

function showFigures(streams) {
  const fps = sum(streams.map((stream) => stream.fps));
  const dropped = sum(streams.map((stream) => stream.dropped));
  const frames_in = sum(streams.map((stream) => stream.frames_in));
  const latencies = streams.map(nowMs).map((ms) => sum(Object.keys(ms).filter((hop) => !IDLE_HOPS.has(hop)).map((hop) => ms[hop])));
  $("fps").textContent = fps.toFixed(1);
  $("latency").textContent = latencies.length ? (sum(latencies) / latencies.length).toFixed(1) : "–";
  $("processed").textContent = grouped(sum(streams.map((stream) => stream.processed)));
  $("dropped").textContent = grouped(dropped);
  $("dropped-share").textContent = dropped ? `${((100 * dropped) / frames_in).toFixed(1)} %` : "";
  $("reconnects").textContent = sum(streams.map((stream) => stream.reconnects));
}

// Of the last whole second, or, where it had no frame, of the last frame.
function nowMs(stream) {
  const last = Object.entries(stream.history_ms).map(([hop, means]) => [hop, means.at(-1)]);
  return last.some(([, ms]) => ms !== null) ? Object.fromEntries(last.map(([hop, ms]) => [hop, ms ?? 0])) : stream.recent_ms;
}

// What the run has lost for good: outputs that failed, and frames on which a stage did.
function showTrouble(streams) {
  const outputs = (page.status?.sinks ?? []).filter(({ failed }) => failed).map(({ failed }) => `Output lost: ${failed}`);
  const frames = streams.flatMap(({ stream, faults }) =>
    Object.entries(faults ?? {}).map(([why, count]) => `${stream && `${stream}: `}${grouped(count)} frames lost: ${why}`),
  );
  const lines = [...outputs, ...frames];
  const list = $("trouble");
  list.hidden = !lines.length;
  if (list.dataset.lines === JSON.stringify(lines)) return;
  list.dataset.lines = JSON.stringify(lines);
  list.replaceChildren(...lines.map((line) => element("li", { textContent: line })));
}

// Classes

function showClasses(classes) {
  const list = $("classes");
  const key = JSON.stringify(classes);
  if (list.dataset.classes !== key) {
    list.dataset.classes = key;
    list.replaceChildren(
      ...classes.map(({ name, color }) => {
        const box = element("input", { type: "checkbox", checked: !choice.hidden.has(name), value: name });
        box.onchange = () => {
          choice.hidden[box.checked ? "delete" : "add"](name);
          classesChanged();
        };
        const bar = element("span", { className: "bar" }, element("i"));
        const label = element(
          "label", {}, box, element("span", { className: "name", textContent: name }),
          element("span", { className: "area" }), bar,
        );
        label.style.setProperty("--class", color);
        return element("li", {}, label);
      }),
    );
    repaint(true);
  }
  const tiles = shownStreams().map(({ stream }) => page.tiles.get(stream)).filter((tile) => tile?.labels);
  [...list.children].forEach((item, index) => {
    const area = tiles.length ? sum(tiles.map((tile) => tile.areas[index])) / tiles.length : 0;
    item.querySelector(".area").textContent = tiles.length ? `${(100 * area).toFixed(area < 0.0995 ? 1 : 0)} %` : "";
    item.querySelector("i").style.transform = `scaleX(${area})`;
  });
}

function classesChanged() {
  remember("hidden", [...choice.hidden]);
  for (const box of $("classes").querySelectorAll("input")) box.checked = !choice.hidden.has(box.value);
  repaint(true);
}

$("all").onclick = () => {
  choice.hidden.clear();
  classesChanged();
};
$("none").onclick = () => {
  for (const { name } of page.status?.classes ?? []) choice.hidden.add(name);
  classesChanged();
};

const opacity = () => choice.opacity ?? Math.round(100 * (page.status?.opacity ?? 0.5));

function showOpacity() {
  $("opacity").value = opacity();
  $("opacity-text").textContent = `${opacity()} %`;
}
$("opacity").oninput = ({ target }) => {
  choice.opacity = Number(target.value);
  remember("opacity", choice.opacity);
  showOpacity();
  repaint(false);
};

// Stages

const colorOf = (hop, index) => STAGE_COLORS[hop] ?? OTHER_COLORS[index % OTHER_COLORS.length];
const isCharted = (hop) => choice.hops[hop] ?? !IDLE_HOPS.has(hop);

function showStages(streams) {
  const only = streams.length === 1 ? streams[0] : null;
  $("stages").hidden = !only;
  if (!only) return;
  const hops = Object.keys(only.latency_ms);
  const now = nowMs(only);
  const body = $("hops");
  if (body.dataset.hops !== JSON.stringify(hops)) {
    body.dataset.hops = JSON.stringify(hops);
    body.replaceChildren(
      ...hops.map((hop, index) => {
        const box = element("input", { type: "checkbox", checked: isCharted(hop) });
        box.onchange = () => {
          choice.hops[hop] = box.checked;
          remember("hops", choice.hops);
          showStages(shownStreams());
        };
        const head = element("th", { scope: "row" }, element("label", {}, box, hop));
        head.style.setProperty("--class", colorOf(hop, index));
        return element("tr", {}, head, element("td"), element("td"), element("td"));
      }),
    );
  }
  const written = (ms) => (ms === undefined || ms === null ? "–" : ms.toFixed(ms < 100 ? 1 : 0));
  [...body.rows].forEach((row, index) => {
    const { p50, p95 } = only.latency_ms[hops[index]];
    [now[hops[index]], p50, p95].forEach((ms, column) => (row.cells[column + 1].textContent = written(ms)));
  });
  drawChart(hops.map((hop, index) => [only.history_ms[hop] ?? [], colorOf(hop, index), isCharted(hop)]).filter(([, , on]) => on));
}

function drawChart(series) {
  const canvas = $("chart");
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const [soft, line] = ["--soft", "--line"].map((name) => style.getPropertyValue(name));
  const box = { left: 38, right: width - 2, top: 8, bottom: height - 22 };
  const seconds = page.status.history_s;
  const tops = new Array(seconds).fill(0);
  const has = tops.map((_, i) => series.some(([means]) => typeof means[i] === "number"));
  const layers = series.map(([means, color]) => {
    const from = [...tops];
    for (let i = 0; i < seconds; i++) tops[i] += means[i] ?? 0;
    return { color, from, to: [...tops] };
  });
  const [most, step] = niceScale(Math.max(...tops));
  const x = (i) => box.left + ((box.right - box.left) * i) / (seconds - 1);
  const y = (ms) => box.bottom - ((box.bottom - box.top) * ms) / most;

  context.scale(scale, scale);
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.fillStyle = soft;
  context.strokeStyle = line;
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let ms = 0; ms <= most * 1.001; ms += step) {
    const level = Math.round(y(ms)) + 0.5;
    context.beginPath();
    context.moveTo(box.left, level);
    context.lineTo(box.right, level);
    context.stroke();
    context.fillText(String(Number(ms.toPrecision(3))), box.left - 7, level);
  }
  context.textBaseline = "alphabetic";
  for (const [i, text, align] of [[0, `${seconds} s ago`, "left"], [(seconds - 1) / 2, `${seconds / 2} s`, "center"], [seconds - 1, "now", "right"]]) {
    context.textAlign = align;
    context.fillText(text, x(i), height - 4);
  }
  for (const { color, from, to } of layers) {
    context.fillStyle = color;
    for (const [first, last] of runs(has)) {
      context.beginPath();
      for (let i = first; i <= last; i++) context.lineTo(x(i) - (first === last ? 1 : 0), y(to[i]));
      if (first === last) context.lineTo(x(first) + 1, y(to[first]));
      if (first === last) context.lineTo(x(first) + 1, y(from[first]));
      for (let i = last; i >= first; i--) context.lineTo(x(i) - (first === last ? 1 : 0), y(from[i]));
      context.fill();
    }
  }
}

// [first, last] of each unbroken run of true
function runs(flags) {
  const found = [];
  flags.forEach((flag, i) => {
    if (!flag) return;
    if (flags[i - 1]) found.at(-1)[1] = i;
    else found.push([i, i]);
  });
  return found;
}

// A round upper end for an axis, and the distance of its lines.
function niceScale(most) {
  const rough = Math.max(most, 1e-3) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough);
  return [step * Math.ceil((most || 4 * step) / step), step];
}

new ResizeObserver(() => page.status && showStages(shownStreams())).observe($("stages"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.status && showStages(shownStreams()));

if (typeof DecompressionStream === "undefined") {
  $("state-text").textContent = "this browser is too old";
} else {
  setInterval(() => {
    showConditions();
    giveUpSilence();
  }, 500);
  connect();
}
