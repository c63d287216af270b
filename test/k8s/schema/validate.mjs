// SPDX-License-Identifier: Apache-2.0
// Checks Kubernetes objects against the API's own schemas, as compiled into the npm package kubernetes-models.
// Standard input: a JSON array of objects. Standard output: a JSON array with one array of complaints per object.
//
// The package's validators say nothing of fields they do not know, which is how a misspelt field slips through. Each
// object is therefore handed over wrapped: a field that the validators never asked for is not in the schema.

const kGroups = { "": "Core", apps: "Apps", "rbac.authorization.k8s.io": "Rbac" };

function schemaName({ apiVersion, kind }) {
  const [version, group = ""] = String(apiVersion).split("/").reverse();
  if (!(group in kGroups)) throw new Error(`API group ${group} is not in kGroups`);
  return `IoK8sApi${kGroups[group]}${version[0].toUpperCase()}${version.slice(1)}${kind}`;
}

// Wraps `value` so that `asked` gets the path of every field that is looked up. Walking over all keys, as is done
// for maps of free keys (labels, data), counts as asking for each.
function watched(value, path, asked) {
  if (value === null || typeof value !== "object") return value;
  return new Proxy(value, {
    get(target, key) {
      const inner = target[key];
      if (typeof key === "symbol" || typeof inner === "function") return inner;
      asked.add(`${path}/${key}`);
      return watched(inner, `${path}/${key}`, asked);
    },
    ownKeys(target) {
      const keys = Reflect.ownKeys(target);
      for (const key of keys) asked.add(`${path}/${String(key)}`);
      return keys;
    },
  });
}

function* fields(value, path) {
  if (value === null || typeof value !== "object") return;
  for (const [key, inner] of Object.entries(value)) {
    yield `${path}/${key}`;
    yield* fields(inner, `${path}/${key}`);
  }
}

async function complaints(object) {
  let validate;
  try {
    ({ validate } = await import(`kubernetes-models/_schemas/${schemaName(object)}`));
  } catch (error) {
    return [`no schema for ${object.apiVersion} ${object.kind}: ${error.message}`];
  }
  const asked = new Set();
  const found = [];
  if (!validate(watched(object, "", asked))) {
    for (const error of validate.errors) {
      found.push(`${error.instancePath || "/"}: ${error.keyword} ${JSON.stringify(error.params)}`);
    }
  }
  let unknown = null; // fields below an unknown field are not worth a line each
  for (const path of fields(object, "")) {
    if (unknown !== null && path.startsWith(`${unknown}/`)) continue;
    if (asked.has(path)) continue;
    unknown = path;
    found.push(`${path}: no such field`);
  }
  return found;
}

let text = "";
for await (const chunk of process.stdin) text += chunk;
const result = [];
for (const object of JSON.parse(text)) result.push(await complaints(object));
console.log(JSON.stringify(result));
