// Writes the types of manifests and results from their JSON Schemas:
//   ryla schema --out schemas/ && npm run types -- schemas/ src/types.ts
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { compile } from "json-schema-to-typescript";

const [folder, target] = process.argv.slice(2);
if (!folder || !target) throw new Error("usage: types.mjs FOLDER_OF_SCHEMAS TARGET");

// A title on every property would become an alias on every property: only models keep theirs.
function withoutTitles(node, isModel = false) {
  if (Array.isArray(node)) return node.map((each) => withoutTitles(each));
  if (node === null || typeof node !== "object") return node;
  const entries = Object.entries(node)
    .filter(([key, value]) => key !== "discriminator" && (key !== "title" || isModel || typeof value !== "string"))
    .map(([key, value]) => [
      key,
      key === "$defs"
        ? Object.fromEntries(Object.entries(value).map(([name, def]) => [name, withoutTitles(def, true)]))
        : withoutTitles(value),
    ]);
  return Object.fromEntries(entries);
}

const header = [
  "// Generated from the pipeline's JSON Schemas by scripts/types.mjs. Do not edit.",
  "/* eslint-disable */",
  "",
].join("\n");
const seen = new Set();
let text = header;
for (const [file, name] of [
  ["manifest", "Manifest"],
  ["result", "Result"],
]) {
  const schema = withoutTitles(JSON.parse(await readFile(path.join(folder, `${file}.schema.json`), "utf8")));
  const source = await compile({ ...schema, title: name }, name, {
    additionalProperties: false,
    bannerComment: "",
    enableConstEnums: false,
    ignoreMinAndMaxItems: true,
    unreachableDefinitions: false,
  });
  for (const [, declared] of source.matchAll(/^export (?:type|interface) (\w+)/gm)) {
    if (seen.has(declared)) throw new Error(`${declared} is declared by two schemas`);
    seen.add(declared);
  }
  text += `\n${source}`;
}
await writeFile(target, text);
