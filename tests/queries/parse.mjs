// What the vendors' own parsers say of a query: node parse.mjs LANGUAGE < QUERY
//
// Prints { problems, attributes } as JSON: what the parser complains about, and the names of the
// spans' attributes that the query asks for.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const query = readFileSync(0, "utf8");

async function traceql() {
  const { parser } = await import("@grafana/lezer-traceql");
  const problems = [];
  const attributes = [];
  parser.parse(query).iterate({
    enter({ type, from, to, node }) {
      if (type.isError) problems.push(`not understood at ${from}: ${query.slice(from)}`);
      if (type.name === "Identifier" && node.parent.name === "AttributeField") {
        attributes.push(query.slice(from, to));
      }
    },
  });
  return { problems, attributes };
}

/** A query of tables that it declares itself with `let`, names and types included. */
function kusto() {
  const require = createRequire(import.meta.url);
  require("@kusto/language-service-next/bridge.min.js"); // these set global names
  require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");
  const { Kusto, System } = globalThis;
  const found = Kusto.Language.KustoCode.ParseAndAnalyze(query).GetDiagnostics();
  const problems = System.Linq.Enumerable.from(found, Kusto.Language.Diagnostic).ToArray();
  return {
    problems: problems.map((one) => one.Message),
    attributes: [...query.matchAll(/customDimensions\["([^"]+)"\]/g)].map(([, name]) => name),
  };
}

console.log(JSON.stringify(await { kusto, traceql }[process.argv[2]]()));
