import assert from "node:assert/strict";
import { test } from "node:test";
import { canonical, inboxKey } from "../src/index.js";

test("a key says priority, tenant and model, the highest priority first in LIST order", () => {
  assert.equal(inboxKey("job-1", 9, "acme", "flux-dev"), "inbox/0.acme.flux-dev.job-1.json");
  assert.ok(inboxKey("b", 9, "acme", "flux-dev") < inboxKey("a", 0, "acme", "flux-dev"));
});

test("an id, tenant or priority that cannot stand in a key is refused", () => {
  assert.throws(() => inboxKey("Job 1", 5, "acme", "flux-dev"), RangeError);
  assert.throws(() => inboxKey("job", 5, "a.b", "flux-dev"), RangeError);
  assert.throws(() => inboxKey("job", 10, "acme", "flux-dev"), RangeError);
});

test("the same job gives the same bytes, however it was written down", () => {
  assert.equal(canonical({ b: [{ d: 1, c: 2 }], a: undefined, e: 0 }), '{"b":[{"c":2,"d":1}],"e":0}');
});
