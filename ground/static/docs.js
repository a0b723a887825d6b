// The API's own description, drawn without anything from elsewhere.
import { find, make } from "./dom.js";

const api = await (await fetch("/openapi.json")).json();
const resolve = (schema) => (schema?.$ref ? api.components.schemas[schema.$ref.split("/").at(-1)] : schema);
const json = (value) => make("pre", "", JSON.stringify(value, null, 2));

function fields(schema) {
  const table = make("pre");
  const lines = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const kind = field.type ?? (field.$ref ? field.$ref.split("/").at(-1) : (field.anyOf ?? []).map((each) => each.type ?? each.$ref?.split("/").at(-1)).join(" | "));
    const needed = schema.required?.includes(name) ? " (required)" : "";
    return `${name}: ${kind}${needed}${field.description ? `  ${field.description}` : ""}`;
  });
  table.textContent = lines.join("\n");
  return table;
}

function show(title, schema, into) {
  const found = resolve(schema?.type === "array" ? schema.items : schema);
  if (!found?.properties) return;
  into.append(make("p", "dim", `${title}: ${schema?.type === "array" ? "list of " : ""}${found.title ?? ""}`), fields(found));
  if (found.example) into.append(make("p", "dim", "Example"), json(found.example));
}

find("about").textContent = api.info.description.trim();
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, route] of Object.entries(methods)) {
    const box = make("details");
    const head = make("summary");
    head.append(make("span", "method", method.toUpperCase()), make("span", "", path));
    box.append(head, make("p", "", route.description ?? route.summary ?? ""));
    for (const each of route.parameters ?? []) box.append(make("p", "dim", `${each.in} ${each.name}: ${each.description ?? each.schema?.type ?? ""}`));
    show("Body", route.requestBody?.content?.["application/json"]?.schema, box);
    for (const [code, response] of Object.entries(route.responses ?? {})) show(code, response.content?.["application/json"]?.schema, box);
    find("routes").append(box);
  }
}
