import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { IdConflict, WaitedTooLong } from "../src/index.js";
import { PNG, producer, SMALL, SOON } from "./where.js";

test("a job put into the bucket ends with a result and its picture", async () => {
  const jobs = producer();
  const { id, fresh } = await jobs.submit("flux-schnell", { prompt: "a paper boat", seed: 0, ...SMALL });
  assert.ok(fresh);
  const result = await jobs.wait(id, SOON);
  assert.equal(result.status, "succeeded");
  assert.equal(result.seed, 0);
  const [output] = result.outputs!;
  assert.equal((await jobs.output(output!)).length, output!.bytes);
});

test("the same id with the same job is the same job, before and after it ended", async () => {
  const jobs = producer();
  const id = randomUUID();
  const submit = () => jobs.submit("flux-schnell", { prompt: "a paper fox", ...SMALL }, { priority: 7 }, id);
  const at_once = await Promise.all([submit(), submit(), submit()]);
  assert.equal(at_once.filter((each) => each.fresh).length, 1);
  await jobs.wait(id, SOON);
  assert.equal((await submit()).fresh, false);
});

test("the same id with another job is a conflict", async () => {
  const jobs = producer();
  const id = randomUUID();
  await jobs.submit("flux-schnell", { prompt: "one", ...SMALL }, {}, id);
  const other = jobs.submit("flux-schnell", { prompt: "another", ...SMALL }, {}, id);
  await assert.rejects(other, IdConflict);
  await jobs.wait(id, SOON);
  await assert.rejects(jobs.submit("flux-schnell", { prompt: "another", ...SMALL }, {}, id), IdConflict);
});

test("equal pictures have equal keys", async () => {
  const jobs = producer();
  const [one, two] = await Promise.all([jobs.putPicture(PNG, "image/png"), jobs.putPicture(PNG, "image/png")]);
  assert.match(one, /^inputs\/[0-9a-f]{64}\.png$/);
  assert.equal(one, two);
  await assert.rejects(jobs.putPicture(PNG, "image/gif"), RangeError);
});

test("who waits for a job that does not end is told its id", async () => {
  const waiting = producer().wait("nobody-sent-this", { timeoutSeconds: 0.2, pollSeconds: 0.1 });
  await assert.rejects(waiting, (error: unknown) => error instanceof WaitedTooLong && error.id === "nobody-sent-this");
});
