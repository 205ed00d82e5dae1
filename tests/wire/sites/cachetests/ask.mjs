// Runs the suite against a cache: node ask.mjs BASE FILE [ID...]
// FILE gets {id: [kind, true or what went wrong]}; ids are those to run, or else all.
import { writeFileSync } from "node:fs";
import fetch from "node-fetch";
import { getResults, runTests } from "http-cache-tests/client/runner.mjs";
import suites from "http-cache-tests/tests/index.mjs";
import surrogates from "http-cache-tests/tests/surrogate-control.mjs";

const [base, file, ...ids] = process.argv.slice(2);
const all = [...suites, surrogates].flatMap((suite) => suite.tests);
const tests = all.filter((test) => !test.browser_only && (!ids.length || ids.includes(test.id)));
await runTests([{ tests }], fetch, false, base);
const results = getResults();
const told = tests.map(({ id, kind }) => [id, [kind ?? "required", results[id] ?? "no result"]]);
writeFileSync(file, JSON.stringify(Object.fromEntries(told)));
