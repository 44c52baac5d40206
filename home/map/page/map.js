/* Draws the one document that home/map/document.py makes. No frameworks, and no request to anybody
   but the server the page came from; opened as a file it makes none. */
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const served = location.protocol.startsWith("http");
  // Colours of speed by theme: colour-blind people tell them apart, and both grounds carry them.
  const RAMP = {
    light: [[0, "#b1123f"], [25, "#dc5427"], [50, "#eba21a"], [75, "#2f9e93"], [100, "#2278c0"], [130, "#4b3fb5"]],
    dark: [[0, "#ff4f76"], [25, "#ff8b4d"], [50, "#ffcf52"], [75, "#49d6bd"], [100, "#4fb3ff"], [130, "#a39bff"]],
  };
  const VEHICLES = ["#1f5fd6", "#c2410c", "#0f8a5f", "#8b3fc4", "#b4880b", "#0e7f9c", "#be2f6b", "#5c6b1e"];
  const STEP_KMH = 10, TOP_KMH = 130;
  const KINDS = { lost: "lost", skipped: "skipped, perhaps never made", unexplained: "missing, nobody said why" };

  const text = (name, words, cls) => {
    const made = document.createElement(name);
    if (words !== undefined) made.textContent = words;
    if (cls) made.className = cls;
    return made;
  };
  const svg = (name, values) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    return made;
  };
  const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  /* Packed lines: see home/map/line.py. */
  function vertices(packed) {
    const out = [];
    let now = [0, 0, 0, 0], place = 0, value = 0, shift = 0;
    for (let at = 0; at < packed.length; at++) {
      const bits = packed.charCodeAt(at) - 63;
      value += (bits & 31) * 2 ** shift;
      shift += 5;
      if (bits & 32) continue;
      now[place] += value % 2 ? -(value + 1) / 2 : value / 2;
      value = shift = 0;
      if (++place === 4) {
        out.push({ at: [now[0] / 1e5, now[1] / 1e5], kmh: now[2], second: now[3] });
        place = 0;
      }
    }
    return out;
  }

  // --- words

  let zone = "UTC";
  const shown = (ms, how) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour12: false, ...how }).format(ms);
  const clock = (ms) => shown(ms, { hour: "2-digit", minute: "2-digit" });
  const exact = (ms) => shown(ms, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const longDay = (day) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "long", day: "numeric", month: "long", year: "numeric" }).format(Date.parse(day));
  const shortDay = (day) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "short", day: "numeric", month: "short", year: "numeric" }).format(Date.parse(day));
  const distance = (m) => (m < 950 ? `${Math.round(m / 10) * 10} m` : m < 99500 ? `${(m / 1000).toFixed(1)} km` : `${Math.round(m / 1000).toLocaleString("en-GB")} km`);
  function duration(seconds) {
    if (seconds < 60) return `${Math.round(seconds)} s`;
    const minutes = Math.round(seconds / 60);
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    return hours < 100 ? `${hours} h ${String(minutes % 60).padStart(2, "0")}` : `${hours} h`;
  }
  const many = (count, one, more) => `${count.toLocaleString("en-GB")} ${count === 1 ? one : more || one + "s"}`;

  // --- state

  const view = { day: null, trip: null, hidden: new Set() };
  let data = { vehicles: [], trips: [], stops: [], gaps: [] };
  let days = [];
  const lines = new Map();
  const line = (trip) => {
    if (!lines.has(trip)) lines.set(trip, trip.parts.map(vertices).filter((part) => part.length));
    return lines.get(trip);
  };
  const dot = (place) => VEHICLES[place % VEHICLES.length];
  const visible = () => data.trips.filter((trip) => !view.hidden.has(trip.v));
  const chosen = () => visible().filter((trip) => view.day === "all" || trip.day === view.day);

  // --- map

  const map = L.map("map", { preferCanvas: true, zoomControl: false, worldCopyJump: true, minZoom: 2, maxZoom: 18, zoomSnap: 0.25, zoomDelta: 0.5, wheelPxPerZoomLevel: 90 });
  L.control.zoom({ position: "topright" }).addTo(map);
  L.control.scale({ imperial: false, position: "bottomleft" }).addTo(map);
  map.attributionControl.setPrefix("Leaflet");
  map.attributionControl.addAttribution("Natural Earth");
  for (const [name, order] of [["world", 150], ["grid", 160], ["past", 380], ["marks", 620]]) map.createPane(name).style.zIndex = order;
  for (const name of ["world", "grid", "past"]) map.getPane(name).style.pointerEvents = "none";
  const renderers = Object.fromEntries(["world", "past", "overlayPane"].map((pane) => [pane, L.canvas({ pane, padding: 0.4, tolerance: 6 })]));
  map.setView([50, 10], 4);

  let streets = null;
  const layers = { world: L.layerGroup().addTo(map), grid: L.layerGroup().addTo(map), past: L.layerGroup().addTo(map), routes: L.layerGroup().addTo(map), live: L.layerGroup().addTo(map) };

  async function drawWorld() {
    const world = JSON.parse(await unpack($("world").textContent));
    const land = topojson.feature(world, world.objects.land);
    const borders = topojson.mesh(world, world.objects.countries, (one, other) => one !== other);
    const paint = () => {
      layers.world.clearLayers();
      const common = { pane: "world", renderer: renderers.world, interactive: false };
      L.geoJSON(land, { ...common, style: { stroke: true, weight: 0.8, color: style("--border"), fillColor: style("--land"), fillOpacity: 1 } }).addTo(layers.world);
      L.geoJSON(borders, { ...common, style: { weight: 1.1, color: style("--border"), opacity: 0.9 } }).addTo(layers.world);
    };
    paint();
    return paint;
  }

  const GRID = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
  function drawGrid() {
    layers.grid.clearLayers();
    const bounds = map.getBounds(), width = bounds.getEast() - bounds.getWest();
    const step = GRID.find((degrees) => width / degrees > 5) || 0.001;
    const digits = Math.max(0, Math.ceil(-Math.log10(step)));
    const options = { pane: "grid", interactive: false, color: style("--grid"), weight: 1, opacity: 1 };
    const label = (at, words, anchor) => L.marker(at, { pane: "grid", interactive: false, keyboard: false, icon: L.divIcon({ className: "grid-text", html: words, iconSize: null, iconAnchor: anchor }) }).addTo(layers.grid);
    for (let lon = Math.ceil(bounds.getWest() / step) * step; lon < bounds.getEast(); lon += step) {
      L.polyline([[bounds.getSouth(), lon], [bounds.getNorth(), lon]], options).addTo(layers.grid);
      label([bounds.getSouth(), lon], `${Math.abs(lon).toFixed(digits)}° ${lon < 0 ? "W" : "E"}`, [-4, 16]);
    }
    for (let lat = Math.ceil(Math.max(bounds.getSouth(), -85) / step) * step; lat < Math.min(bounds.getNorth(), 85); lat += step) {
      L.polyline([[lat, bounds.getWest()], [lat, bounds.getEast()]], options).addTo(layers.grid);
      // Not beneath the buttons.
      if (map.latLngToContainerPoint([lat, bounds.getEast()]).y > 90) label([lat, bounds.getEast()], `${Math.abs(lat).toFixed(digits)}° ${lat < 0 ? "S" : "N"}`, [52, 15]);
    }
  }
  map.on("moveend", drawGrid);

  function colour(kmh) {
    const ramp = RAMP[root.dataset.theme];
    const at = Math.max(1, ramp.findIndex(([speed]) => speed >= kmh));
    const [low, from] = ramp[at === -1 ? ramp.length - 2 : at - 1], [high, to] = ramp[kmh > ramp[ramp.length - 1][0] ? ramp.length - 1 : at];
    const share = Math.min(Math.max((kmh - low) / (high - low || 1), 0), 1);
    const mix = (place) => Math.round(parseInt(from.slice(place, place + 2), 16) * (1 - share) + parseInt(to.slice(place, place + 2), 16) * share);
    return `rgb(${mix(1)},${mix(3)},${mix(5)})`;
  }
  const bucket = (kmh) => Math.min(Math.round(kmh / STEP_KMH), TOP_KMH / STEP_KMH);

  /* One canvas path per colour, however many trips: thousands of them are drawn at once. */
  function routes(trips) {
    const byColour = new Map(), all = [];
    for (const trip of trips) {
      for (const part of line(trip)) {
        all.push(part.map((vertex) => vertex.at));
        let run = null, last = null;
        for (let at = 1; at < part.length; at++) {
          const now = bucket((part[at - 1].kmh + part[at].kmh) / 2);
          if (now !== last) {
            run = [part[at - 1].at];
            if (!byColour.has(now)) byColour.set(now, []);
            byColour.get(now).push(run);
            last = now;
          }
          run.push(part[at].at);
        }
      }
    }
    return { byColour, all };
  }

  function drawPast() {
    layers.past.clearLayers();
    if (view.day === "all") return;
    const all = visible().filter((trip) => trip.day !== view.day).flatMap((trip) => line(trip).map((part) => part.map((vertex) => vertex.at)));
    L.polyline(all, { pane: "past", renderer: renderers.past, interactive: false, color: style("--past"), opacity: 1, weight: 2, smoothFactor: 1.5 }).addTo(layers.past);
  }

  function drawRoutes() {
    layers.routes.clearLayers();
    const trips = chosen(), alone = view.trip && trips.includes(view.trip) ? [view.trip] : trips;
    const many = trips.length > 40;
    const renderer = renderers.overlayPane;
    if (alone.length < trips.length) {
      const others = routes(trips.filter((trip) => trip !== view.trip)).all;
      L.polyline(others, { renderer, interactive: false, color: style("--past"), opacity: 1, weight: 3 }).addTo(layers.routes);
    }
    const { byColour, all } = routes(alone);
    L.polyline(all, { renderer, interactive: false, color: style("--casing"), weight: many ? 5 : 7.5, opacity: 0.9, smoothFactor: many ? 0.8 : 0.15 }).addTo(layers.routes);
    for (const [speed, runs] of [...byColour].sort(([one], [other]) => one - other)) {
      L.polyline(runs, { renderer, interactive: false, color: colour(speed * STEP_KMH), weight: many ? 3 : 4.5, opacity: 1, lineCap: "round", smoothFactor: many ? 0.8 : 0.15 }).addTo(layers.routes);
    }
    let gaps = 0;
    for (const trip of alone) gaps += drawTripGaps(trip);
    if (!many) for (const trip of alone) drawHover(trip);
    const places = new Set(alone.map((trip) => data.trips.indexOf(trip)));
    if (!many) drawStops(data.stops.filter((stop) => places.has(stop.trip)));
    drawLost(alone);
    if (!many) trips.forEach((trip, place) => alone.includes(trip) && drawPins(trip, place + 1));
    Object.assign(document.body.dataset, { trips: alone.length, parts: all.length, gaps, vertices: all.reduce((sum, part) => sum + part.length, 0) });
  }

  function drawTripGaps(trip) {
    const parts = line(trip), renderer = renderers.overlayPane;
    const dashed = { renderer, color: style("--gap"), weight: 2.5, opacity: 0.95, dashArray: "2 7", lineCap: "round" };
    for (let at = 1; at < parts.length; at++) {
      const before = parts[at - 1][parts[at - 1].length - 1], after = parts[at][0];
      L.polyline([before.at, after.at], dashed).bindTooltip(`No position for ${duration(after.second - before.second)}, from ${exact(trip.start + before.second * 1000)} on`, { sticky: true }).addTo(layers.routes);
    }
    // A trip that begins elsewhere than the last one ended: a ferry, a tow, or records that are gone.
    const same = visible().filter((other) => other.v === trip.v && other.end <= trip.start);
    const last = same[same.length - 1];
    if (trip.carried > 200 && last && parts.length && line(last).length) {
      const part = line(last)[line(last).length - 1];
      L.polyline([part[part.length - 1].at, parts[0][0].at], { ...dashed, dashArray: "1 9", weight: 2 }).bindTooltip(`${distance(trip.carried)} without a record, ${clock(last.end)} to ${clock(trip.start)}`, { sticky: true }).addTo(layers.routes);
    }
    return parts.length - 1;
  }

  function drawHover(trip) {
    for (const part of line(trip)) {
      const wide = L.polyline(part.map((vertex) => vertex.at), { renderer: renderers.overlayPane, weight: 16, opacity: 0.001, color: "#000" });
      const tip = (event) => {
        let best = part[0], nearest = Infinity;
        for (const vertex of part) {
          const far = (vertex.at[0] - event.latlng.lat) ** 2 + ((vertex.at[1] - event.latlng.lng) * 0.65) ** 2;
          if (far < nearest) [best, nearest] = [vertex, far];
        }
        const who = data.vehicles.length > 1 ? `${data.vehicles[trip.v].name} · ` : "";
        wide.setTooltipContent(`${who}${exact(trip.start + best.second * 1000)} · ${best.kmh} km/h`);
      };
      wide.bindTooltip("", { sticky: true }).on("mouseover mousemove click", tip).on("click", () => select(trip, false)).addTo(layers.routes);
    }
  }

  function drawStops(stops) {
    for (const stop of stops) {
      L.circleMarker([stop.lat, stop.lon], { pane: "marks", radius: 5, weight: 2.5, color: style("--stop-edge"), fillColor: style("--stop"), fillOpacity: 1 })
        .bindTooltip(`Stood ${duration((stop.end - stop.start) / 1000)}, ${clock(stop.start)} to ${clock(stop.end)}`).addTo(layers.routes);
    }
  }

  function drawLost(trips) {
    const inside = (gap) => trips.some((trip) => trip.v === gap.v && gap.end >= trip.start && gap.start <= trip.end);
    const seen = data.gaps.filter((gap) => gap.kind !== "skipped" && gap.from && inside(gap));
    const radius = trips.length > 40 ? 2.5 : 5;
    for (const gap of seen) {
      const words = `${many(gap.numbers, "record")} ${KINDS[gap.kind]}, ${exact(gap.start)} to ${exact(gap.end)}`;
      const to = gap.to || gap.from;
      L.polyline([gap.from, to], { renderer: renderers.overlayPane, color: style("--lost"), weight: 3, dashArray: "3 6" }).bindTooltip(words, { sticky: true }).addTo(layers.routes);
      L.circleMarker([(gap.from[0] + to[0]) / 2, (gap.from[1] + to[1]) / 2], { pane: "marks", radius, weight: radius / 2, color: style("--lost"), fill: true, fillOpacity: 0.08 }).bindTooltip(words).addTo(layers.routes);
    }
  }

  function drawPins(trip, number) {
    const parts = line(trip);
    if (!parts.length) return;
    const tint = `--dot:${dot(trip.v)}`, last = parts[parts.length - 1];
    const mark = (at, html, size) => L.marker(at, { pane: "marks", interactive: false, keyboard: false, icon: L.divIcon({ className: "place", html, iconSize: size }) }).addTo(layers.routes);
    mark(last[last.length - 1].at, `<div class="end" style="${tint}"></div>`, [16, 16]);
    mark(parts[0][0].at, `<div class="pin" style="${tint}">${number}</div>`, [22, 22]);
  }

  function fit(trips) {
    const points = trips.flatMap((trip) => line(trip).flatMap((part) => part.map((vertex) => vertex.at)));
    if (!points.length) return;
    const phone = innerWidth < 720;
    const panel = $("panel").getBoundingClientRect();
    map.fitBounds(L.latLngBounds(points), {
      paddingTopLeft: phone ? [28, 78] : [panel.right + 36, 44],
      paddingBottomRight: phone ? [28, innerHeight - panel.top + 24] : [44, 96],
      maxZoom: 16,
      animate: false,
    });
  }

  // --- panel

  function drawPanel() {
    const trips = chosen();
    const list = $("trips");
    list.textContent = "";
    const newestFirst = view.day === "all" ? trips.slice().sort((one, other) => other.start - one.start).slice(0, 200) : trips;
    let day = null;
    newestFirst.forEach((trip, place) => {
      if (view.day === "all" && trip.day !== day) list.append(text("li", shortDay(trip.day), "date"));
      day = trip.day;
      list.append(card(trip, view.day === "all" ? "" : place + 1));
    });
    const sum = (name) => trips.reduce((total, trip) => total + trip[name], 0);
    $("sums").textContent = "";
    if (trips.length) {
      const sums = [[distance(sum("m")), "distance"], [duration(sum("moving")), "moving"], [`${Math.max(...trips.map((trip) => trip.top))} km/h`, "top speed"], [trips.length.toLocaleString("en-GB"), trips.length === 1 ? "trip" : "trips"]];
      for (const [value, name] of sums) {
        const box = text("div");
        box.append(text("b", value), text("span", name));
        $("sums").append(box);
      }
    } else {
      list.append(text("li", data.trips.length ? "No trips on this day." : "No trips yet. They appear here as soon as a vehicle has sent its records.", "date"));
    }
    note(trips);
    const at = days.indexOf(view.day);
    $("before").disabled = view.day === "all" || !days.some((other) => other < view.day);
    $("after").disabled = view.day === "all" || !days.some((other) => other > view.day);
    $("day").value = view.day === "all" ? "" : view.day || "";
    $("all").setAttribute("aria-pressed", view.day === "all");
    for (const box of $("year").querySelectorAll("rect")) box.classList.toggle("chosen", box.dataset.day === view.day);
    return at;
  }

  function card(trip, number) {
    const item = text("li"), button = text("button");
    button.type = "button";
    button.setAttribute("aria-pressed", trip === view.trip);
    const badge = text("span", number, "badge");
    badge.style.setProperty("--dot", dot(trip.v));
    const end = shown(trip.end, { dateStyle: "short" }) === shown(trip.start, { dateStyle: "short" }) ? clock(trip.end) : `${shown(trip.end, { weekday: "short" })} ${clock(trip.end)}`;
    const details = [`${duration((trip.end - trip.start) / 1000)}`, `up to ${trip.top} km/h`];
    if (data.vehicles.length > 1) details.unshift(data.vehicles[trip.v].name);
    button.append(badge, text("span", `${clock(trip.start)} – ${end}`, "when"), text("span", distance(trip.m), "far"), text("span", details.join(" · "), "more"));
    if (view.day !== "all") {
      const canvas = text("canvas");
      canvas.setAttribute("aria-hidden", "true");
      button.append(canvas);
      requestAnimationFrame(() => curve(canvas, trip));
    }
    button.addEventListener("click", () => select(trip === view.trip ? null : trip, true));
    item.append(button);
    return item;
  }

  /* The trip's speed over its time, in the map's colours; where no position is known it is empty. */
  function curve(canvas, trip) {
    const scale = devicePixelRatio || 1, width = canvas.clientWidth * scale, height = canvas.clientHeight * scale;
    if (!width) return;
    Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d"), span = Math.max((trip.end - trip.start) / 1000, 1), top = Math.max(trip.top, 50);
    const x = (vertex) => (vertex.second / span) * width, y = (kmh) => height - scale - (kmh / top) * (height - 4 * scale);
    const paint = pen.createLinearGradient(0, y(top), 0, y(0));
    for (let share = 0; share <= 1; share += 0.125) paint.addColorStop(share, colour(top * (1 - share)));
    pen.lineWidth = 1.4 * scale;
    pen.lineJoin = "round";
    for (const part of line(trip)) {
      pen.beginPath();
      pen.moveTo(x(part[0]), y(part[0].kmh));
      for (const vertex of part) pen.lineTo(x(vertex), y(vertex.kmh));
      pen.strokeStyle = paint;
      pen.stroke();
      pen.lineTo(x(part[part.length - 1]), height);
      pen.lineTo(x(part[0]), height);
      pen.globalAlpha = 0.16;
      pen.fillStyle = paint;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  function note(trips) {
    const box = $("note");
    box.textContent = "";
    const here = data.gaps.filter((gap) => !view.hidden.has(gap.v) && (view.day === "all" || trips.some((trip) => trip.v === gap.v && gap.end >= trip.start && gap.start <= trip.end)));
    const count = (kind) => here.filter((gap) => gap.kind === kind).reduce((sum, gap) => sum + gap.numbers, 0);
    const missing = count("lost") + count("unexplained");
    if (missing) box.append(text("b", `${many(missing, "record")} missing`), ` (${count("lost")} lost, ${count("unexplained")} unexplained). `);
    if (count("skipped")) box.append(`${many(count("skipped"), "number")} skipped at power cuts.`);
  }

  /* Half a year as a strip of days: darker is farther. */
  function drawYear() {
    const box = $("year");
    box.textContent = "";
    const far = new Map();
    for (const trip of visible()) far.set(trip.day, (far.get(trip.day) || 0) + trip.m);
    const last = days.length ? Date.parse(days[days.length - 1]) : Date.now();
    const weeks = 26, day = 86400000, monday = last - ((new Date(last).getUTCDay() + 6) % 7) * day;
    const most = Math.max(...far.values(), 1);
    box.setAttribute("viewBox", `0 0 ${weeks * 12} 96`);
    let month = null;
    for (let week = 0; week < weeks; week++) {
      for (let weekday = 0; weekday < 7; weekday++) {
        const when = monday + (week - weeks + 1) * 7 * day + weekday * day;
        if (when > last + 6 * day) continue;
        const name = new Date(when).toISOString().slice(0, 10), metres = far.get(name);
        const square = svg("rect", { x: week * 12 + 1, y: weekday * 12 + 12, width: 10, height: 10, rx: 2.6 });
        if (metres) {
          square.dataset.day = name;
          square.style.setProperty("--heat-share", (0.22 + 0.78 * Math.sqrt(metres / most)).toFixed(2));
          square.append(Object.assign(svg("title", {}), { textContent: `${shortDay(name)}: ${distance(metres)}` }));
        }
        box.append(square);
        if (weekday === 0 && name.slice(0, 7) !== month && week < weeks - 1) {
          month = name.slice(0, 7);
          const words = svg("text", { x: week * 12 + 1, y: 8 });
          words.textContent = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", month: "short" }).format(when);
          if (week > 0 || Number(name.slice(8)) < 20) box.append(words);
        }
      }
    }
  }

  function drawVehicles() {
    const box = $("vehicles");
    box.textContent = "";
    if (data.vehicles.length < 2) return;
    data.vehicles.forEach((vehicle, place) => {
      const chip = text("button", undefined, "chip");
      chip.type = "button";
      chip.style.setProperty("--dot", dot(place));
      chip.setAttribute("aria-pressed", !view.hidden.has(place));
      chip.append(text("i"), vehicle.name);
      chip.addEventListener("click", () => {
        view.hidden[view.hidden.has(place) ? "delete" : "add"](place);
        draw(false);
      });
      box.append(chip);
    });
  }

  function drawRamp() {
    const pen = $("ramp").getContext("2d");
    for (let x = 0; x < 260; x++) {
      pen.fillStyle = colour((x / 260) * TOP_KMH);
      pen.fillRect(x, 0, 1, 10);
    }
  }

  // --- what a click does

  function select(trip, move) {
    view.trip = trip;
    drawRoutes();
    drawPanel();
    if (move) fit(trip ? [trip] : chosen());
  }

  function choose(day) {
    Object.assign(view, { day, trip: null });
    draw(true);
  }

  function draw(move) {
    drawVehicles();
    drawYear();
    drawPanel();
    drawPast();
    drawRoutes();
    if (move) fit(chosen());
  }

  const nearest = (forward) => (forward ? days.find((day) => day > view.day) : days.filter((day) => day < view.day).pop());
  $("before").addEventListener("click", () => choose(nearest(false)));
  $("after").addEventListener("click", () => choose(nearest(true)));
  $("day").addEventListener("change", () => $("day").value && choose($("day").value));
  $("all").addEventListener("click", () => choose(view.day === "all" ? days[days.length - 1] : "all"));
  $("year").addEventListener("click", (event) => event.target.dataset.day && choose(event.target.dataset.day));
  $("handle").addEventListener("click", () => $("handle").setAttribute("aria-expanded", !$("panel").classList.toggle("low")));
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body && !event.target.closest("#map")) return;
    if (event.key === "Escape" && view.trip) select(null, true);
    if (event.key === "[" && !$("before").disabled) $("before").click();
    if (event.key === "]" && !$("after").disabled) $("after").click();
  });

  // --- light and dark

  const dark = matchMedia("(prefers-color-scheme: dark)");
  let repaint = () => {};
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("theme", value);
      return localStorage.getItem("theme");
    } catch {
      return null; // a file may have no storage
    }
  };
  function theme(name) {
    root.dataset.theme = name;
    repaint();
    drawGrid();
    drawRamp();
    if (streets) showStreets(streets.source);
    if (days.length) draw(false);
  }
  $("theme").addEventListener("click", () => {
    const name = root.dataset.theme === "dark" ? "light" : "dark";
    remembered(name);
    theme(name);
  });
  dark.addEventListener("change", () => remembered() || theme(dark.matches ? "dark" : "light"));

  // --- streets, from a .pmtiles file of the owner's

  async function streetsCode() {
    if (window.protomapsL) return;
    const code = document.createElement("script");
    code.textContent = await unpack($("streets-code").textContent);
    document.head.append(code);
  }
  async function showStreets(source) {
    await streetsCode();
    if (streets) map.removeLayer(streets.layer);
    const layer = protomapsL.leafletLayer({ url: new pmtiles.PMTiles(source), flavor: root.dataset.theme, lang: navigator.language.slice(0, 2), noWrap: true });
    streets = { source, layer: layer.addTo(map) };
    if (!map.attributionControl._attributions["© OpenStreetMap"]) map.attributionControl.addAttribution("© OpenStreetMap");
    $("streets").setAttribute("aria-pressed", "true");
    layer.on("tileload load", () => (document.body.dataset.streets = "drawn"));
  }
  function hideStreets() {
    map.removeLayer(streets.layer);
    map.attributionControl.removeAttribution("© OpenStreetMap");
    streets = null;
    delete document.body.dataset.streets;
    $("streets").setAttribute("aria-pressed", "false");
  }
  $("streets").addEventListener("click", () => {
    if (streets) return hideStreets();
    if (served && data.streets) return showStreets(new pmtilesFetch());
    $("file").click();
  });
  $("file").addEventListener("change", async () => {
    if (!$("file").files.length) return;
    await streetsCode();
    showStreets(new pmtiles.FileSource($("file").files[0]));
  });
  const pmtilesFetch = class {
    getKey() { return "streets.pmtiles"; }
    async getBytes(offset, length) {
      const answer = await fetch("streets.pmtiles", { headers: { Range: `bytes=${offset}-${offset + length - 1}` } });
      if (answer.status !== 206) throw new Error(`streets.pmtiles: ${answer.status}`);
      return { data: await answer.arrayBuffer() };
    }
  };

  // --- live

  const now = new Map();
  function moved(position) {
    let place = data.vehicles.findIndex((vehicle) => vehicle.name === position.device);
    if (place < 0) place = data.vehicles.push({ name: position.device, last: null }) - 1;
    const at = [position.lat, position.lon], known = now.get(position.device);
    const kmh = Math.round((position.speed || 0) * 3.6);
    const html = `<div class="now ${kmh < 2 ? "still" : ""}" style="--dot:${dot(place)};--track:${Number(position.track) || 0}deg"><i></i></div>`;
    const icon = L.divIcon({ className: "place", html, iconSize: [18, 18] });
    if (known && position.time < known.time) return;
    if (known) {
      known.marker.setLatLng(at).setIcon(icon);
      known.trail.addLatLng(at);
    } else {
      const trail = L.polyline([at], { renderer: renderers.overlayPane, interactive: false, color: dot(place), weight: 4, opacity: 0.85 }).addTo(layers.live);
      now.set(position.device, { marker: L.marker(at, { pane: "marks", icon, keyboard: false, interactive: false }).addTo(layers.live), trail });
    }
    const label = text("b", `${position.device} · ${kmh} km/h`);
    now.get(position.device).marker.getElement().firstChild.append(label);
    Object.assign(now.get(position.device), { time: position.time, kmh });
    if (!data.trips.length && now.size === 1 && !known) map.setView(at, 13);
    document.body.dataset.live = `${position.device} ${position.lat} ${position.lon}`;
    tellLive();
  }
  function tellLive() {
    const newest = [...now].sort(([, one], [, other]) => other.time - one.time)[0];
    $("live").hidden = !newest;
    if (!newest) return;
    const age = (Date.now() - newest[1].time) / 1000, away = age > 30;
    $("live").classList.toggle("away", away);
    $("live").lastChild.textContent = away ? `seen ${duration(age)} ago` : "live";
  }
  function listen() {
    const events = new EventSource("live");
    events.addEventListener("message", (event) => moved(JSON.parse(event.data)));
    events.addEventListener("built", refresh);
    setInterval(tellLive, 5000);
  }

  // --- begin

  async function refresh() {
    const answer = await fetch("map.json");
    if (!answer.ok) return;
    const stay = view.day, trip = view.trip && view.trip.id;
    take(await answer.json());
    const followed = stay === null || !days.includes(stay);
    if (stay !== "all" && followed) view.day = days[days.length - 1] || null;
    view.trip = data.trips.find((other) => other.id === trip) || null;
    draw(followed);
  }
  function take(document_) {
    const known = new Map(data.vehicles.map((vehicle) => [vehicle.name, vehicle]));
    data = document_;
    for (const name of now.keys()) if (!data.vehicles.some((vehicle) => vehicle.name === name)) data.vehicles.push(known.get(name));
    zone = data.time_zone || "UTC";
    lines.clear();
    days = [...new Set(data.trips.map((trip) => trip.day))].sort();
    if (days.length) [$("day").min, $("day").max] = [days[0], days[days.length - 1]];
  }

  async function begin() {
    root.dataset.theme = remembered() || (dark.matches ? "dark" : "light");
    drawRamp();
    repaint = await drawWorld();
    const inside = $("document").textContent.trim();
    if (inside) take(JSON.parse(await unpack(inside)));
    view.day = days[days.length - 1] || null;
    draw(true);
    drawGrid();
    if (served && !inside) {
      await refresh();
      listen();
      if (data.streets) showStreets(new pmtilesFetch()).catch(() => streets && hideStreets());
    }
    document.body.dataset.ready = "yes";
  }
  begin().catch((error) => {
    document.body.dataset.ready = "no";
    $("note").textContent = `The map cannot be drawn: ${error.message}`;
    throw error;
  });
})();
