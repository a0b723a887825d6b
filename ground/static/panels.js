// Passes, telemetry, counters, events.
import { find, make, time } from "./dom.js";

const SEVERITY = { informative: "normal", low: "standby", medium: "caution", high: "critical" };
const PASS = { past: "", now: "normal", next: "standby" };

export function showPasses(passes) {
  const rows = passes.filter((pass) => pass.state !== "past").slice(0, 4);
  const past = passes.filter((pass) => pass.state === "past").slice(-2);
  find("passes").replaceChildren(
    ...[...past, ...rows].map((pass) => {
      const row = make("li");
      const until = pass.los ? time(pass.los) : "open";
      row.append(
        make("span", `status ${PASS[pass.state]}`),
        make("span", "", `${time(pass.aos)} – ${until}`),
        make("span", "dim", pass.state === "next" ? "next" : `${pass.packets} packets · ${pass.delivered} delivered`),
      );
      return row;
    }),
  );
}

function pair(name, value, className = "", title = "") {
  const box = make("div");
  const term = make("dt", "", name);
  term.title = title || name;
  box.append(term, make("dd", className, value));
  return box;
}

export function showTelemetry(samples, now) {
  const known = samples.filter((sample) => sample.value !== null || sample.text !== null);
  const newest = known.map((sample) => sample.time).sort().at(-1);
  find("telemetry-time").textContent = newest ? `as of ${time(newest)}` : "";
  find("telemetry").replaceChildren(
    ...known.map((sample) => {
      const value = sample.text ?? `${+sample.value.toPrecision(4)}${sample.unit ? ` ${sample.unit}` : ""}`;
      const old = now - Date.parse(sample.time) > 60_000;
      return pair(sample.channel, value, old ? "old" : sample.limit, `${sample.title}\n${sample.time}`);
    }),
  );
  const mode = known.find((sample) => sample.channel === "MODE");
  if (mode) find("mode").textContent = (mode.text ?? "").toUpperCase();
}

export function showCounters(counters) {
  const shown = [
    ["CLTUs up", counters.uplink.datagrams],
    ["bytes down", counters.station.bytes_down],
    ["CADUs down", counters.downlink.cadus],
    ["good frames", counters.downlink.frames],
    ["symbols fixed", counters.downlink.symbols_corrected],
    ["frames lost", counters.downlink.frames_lost],
    ["RS failures", counters.downlink.rs_uncorrectable],
    ["packets", counters.station.packets],
  ];
  find("counters").replaceChildren(...shown.map(([name, value]) => pair(name, String(value ?? 0))));
}

export function showEvents(events) {
  find("events").replaceChildren(
    ...events.map((event) => {
      const row = make("li");
      row.title = `${event.source} · ${event.name} · ${event.severity}\n${event.time}`;
      row.append(
        make("span", `status ${SEVERITY[event.severity] ?? ""}`),
        make("span", "dim", time(event.time)),
        make("span", "text", event.text),
      );
      return row;
    }),
  );
}
