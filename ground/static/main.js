// The page: history from REST at the start and after every reconnect, changes from one event stream.
import { find, mark, put, span } from "./dom.js";
import { QueryCard } from "./legs.js";
import { showCounters, showEvents, showPasses, showTelemetry } from "./panels.js";

const cards = new Map();
const clock = { mission: null, at: 0, speed: 1 };
let status = null;
let alive = false;

async function get(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

const missionNow = () => clock.mission + (performance.now() - clock.at) * clock.speed;
const silent = () => !alive || !status || status.link.stale || !status.link.in_contact;

function showQuery(query) {
  if (!query.id) return;
  let card = cards.get(query.id);
  if (!card) {
    card = new QueryCard(cancel);
    cards.set(query.id, card);
    const later = [...cards.values()].find((other) => other.query && other.query.created < query.created);
    if (later) later.root.before(card.root);
    else find("queries").append(card.root);
    find("empty").hidden = true;
  }
  card.show(query, silent());
}

function showStatus(told) {
  const turned = status && status.link.in_contact !== told.link.in_contact;
  status = told;
  Object.assign(clock, { mission: Date.parse(told.time), at: performance.now(), speed: told.speed });
  find("question").maxLength = told.question_bytes;
  count();
  put(find("model"), told.model ?? "unknown");
  const link = told.link;
  const state = !link.in_contact ? ["", "OUT OF CONTACT"] : link.stale ? ["caution", "SILENT"] : ["normal", "HEARD"];
  mark(find("link-mark"), `status ${state[0]}`);
  put(find("link"), state[1]);
  put(find("security"), link.authenticated ? "AUTHENTICATED" : "UNAUTHENTICATED");
  showCounters(link.counters);
  if (turned) refresh(["passes"]);
  for (const card of cards.values()) card.show(card.query, silent());
}

function tick() {
  if (clock.mission === null) return;
  const now = new Date(missionNow());
  const day = Math.floor((now - Date.UTC(now.getUTCFullYear(), 0, 0)) / 86_400_000);
  put(find("utc"), `${now.toISOString().slice(0, 19)}Z DOY ${String(day).padStart(3, "0")}`);
  const link = status.link;
  const next = link.in_contact ? link.los : link.aos;
  put(find("contact-name"), link.in_contact ? "LOS" : "AOS");
  put(find("contact"), next ? span((Date.parse(next) - now) / 1000) : link.in_contact ? "always in sight" : "no pass planned");
}

const panels = {
  events: async () => showEvents(await get("/api/events?limit=100")),
  telemetry: async () => showTelemetry(await get("/api/telemetry"), missionNow()),
  passes: async () => showPasses(await get("/api/passes")),
  scenes: async () => {
    const chosen = find("scene").value;
    const told = await get("/api/scenes");
    const names = ["latest", "", "housekeeping", ...told.scenes.map((scene) => scene.name)];
    find("scene").replaceChildren(...[...new Set(names)].map((name) => new Option(name || "none", name, false, name === chosen)));
  },
};
const pending = new Set();

function refresh(names) {
  for (const name of names) {
    if (pending.has(name)) continue;
    pending.add(name);
    setTimeout(() => {
      pending.delete(name);
      panels[name]().catch(() => {});
    }, 150);
  }
}

async function reload() {
  const queries = await get("/api/queries?limit=200");
  for (const query of queries) showQuery(query);
  refresh(["events", "telemetry", "passes", "scenes"]);
}

function setAlive(now) {
  alive = now;
  find("lost").hidden = now;
  for (const card of cards.values()) card.show(card.query, silent());
}

function follow() {
  const source = new EventSource("/api/stream");
  source.addEventListener("open", () => {
    setAlive(true);
    reload().catch(() => {});
  });
  source.addEventListener("error", () => setAlive(false));
  source.addEventListener("query", (event) => showQuery(JSON.parse(event.data)));
  source.addEventListener("link", (event) => showStatus(JSON.parse(event.data)));
  source.addEventListener("events", () => refresh(["events"]));
  source.addEventListener("telemetry", () => refresh(["telemetry", "passes"]));
}

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const told = await response.json();
  if (!response.ok) throw new Error(told.detail ?? `the station answered ${response.status}`);
  return told;
}

function refusal(text) {
  put(find("refusal"), text);
  find("refusal").hidden = !text;
}

async function cancel(id) {
  try {
    showQuery(await post(`/api/queries/${id}/cancel`, {}));
  } catch (error) {
    refusal(error.message);
  }
}

find("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  refusal("");
  const wanted = { question: find("question").value, scene: find("scene").value, thinking: find("thinking").checked };
  for (const name of ["max_tokens", "temperature"]) if (find(name).value) wanted[name] = Number(find(name).value);
  try {
    showQuery(await post("/api/queries", wanted));
    find("question").value = "";
    count();
  } catch (error) {
    refusal(error.message);
  }
});

function count() {
  const most = status ? ` / ${status.question_bytes}` : "";
  put(find("bytes"), `${new TextEncoder().encode(find("question").value).length}${most} B`);
}
find("question").addEventListener("input", count);
find("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("ask").requestSubmit();
});
find("scene").addEventListener("focus", () => refresh(["scenes"]));

follow();
setInterval(tick, 250);
setInterval(() => get("/api/status").then(showStatus).catch(() => {}), 10_000);
