import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { JobFailed, PipelineClient, RequestFailed, WaitedTooLong } from "../src/index.js";
import { client, SMALL } from "./where.js";

test("a job is submitted, waited for, and its picture fetched", async () => {
  const job = await client().generate("flux-schnell", { prompt: "a paper boat", seed: 0, ...SMALL });
  assert.equal(job.result!.seed, 0);
  const picture = await client().output(job.id);
  assert.equal(picture.contentType, "image/png");
  assert.equal(picture.bytes.length, job.result!.outputs![0]!.bytes);
});

test("whoever submits is told what it is expected to take, and what a budget may not last for", async () => {
  const sheet = { name: "Ann", lora_id: "nobody", views: "ten" } as const;
  const { estimate, warnings } = await client().submit("character-sheet", sheet);
  assert.deepEqual(warnings, []);
  assert.ok(estimate!.usd! < estimate!.most_usd! && estimate!.seconds! < estimate!.most_seconds!);
  const max_cost_usd = (estimate!.usd! + estimate!.most_usd!) / 2;
  const within = await client().submit("character-sheet", { ...sheet, max_cost_usd });
  assert.match(within.warnings![0]!, /may end as a partial sheet/);
});

test("the same key with the same body is the same job, another body is refused", async () => {
  const idempotencyKey = randomUUID();
  const body = { prompt: "a paper fox", ...SMALL };
  const jobs = await Promise.all([1, 2, 3].map(() => client().submit("flux-schnell", body, { idempotencyKey })));
  assert.equal(new Set(jobs.map((job) => job.id)).size, 1);
  const other = client().submit("flux-schnell", { ...body, prompt: "another" }, { idempotencyKey });
  await assert.rejects(other, (error: unknown) => error instanceof RequestFailed && error.code === "id_conflict");
});

test("a misspelt field is refused with its name and the nearest one", async () => {
  const misspelt = client().submit("flux-schnell", { promt: "x", ...SMALL } as never);
  await assert.rejects(misspelt, (error: unknown) => {
    assert.ok(error instanceof RequestFailed);
    assert.equal(error.problem.status, 422);
    assert.equal(error.code, "unknown_field");
    assert.match(error.message, /prompt/);
    assert.ok(error.requestId);
    return true;
  });
});

test("progress is followed to the end", async () => {
  const { id } = await client().submit("flux-schnell", { prompt: "a paper crane", ...SMALL });
  const states = [];
  for await (const job of client().follow(id)) states.push(job.state);
  assert.equal(states.at(-1), "finished");
});

test("a cancelled job is cancelled, and generate says so", async () => {
  const { id } = await client().submit("flux-schnell", { prompt: "never", num_images: 8, ...SMALL, steps: 12 });
  const ended = await client().cancel(id);
  assert.equal(ended.status, "cancelled");
  assert.ok(new JobFailed(ended.result!).message.includes("cancelled"));
});

test("a call that gets no reply is repeated with the same key", async () => {
  const keys: unknown[] = [];
  const answering: RequestListener = (request, reply) => {
    keys.push(request.headers["idempotency-key"]);
    if (keys.length === 1) return void request.socket.destroy();
    if (keys.length === 2) return void reply.writeHead(503, { "retry-after": "0" }).end();
    reply.writeHead(202, { "content-type": "application/json" }).end(JSON.stringify({ id: "x", state: "waiting" }));
  };
  await served(answering, async (url) => {
    assert.equal((await new PipelineClient(url).submit("flux-schnell", { prompt: "x" })).id, "x");
  });
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
});

test("a call that never gets a reply fails with the key to repeat it with", async () => {
  await served((request) => request.socket.destroy(), async (url) => {
    const submitted = new PipelineClient(url, { retrySeconds: 0 }).submit(
      "flux-schnell",
      { prompt: "x" },
      { idempotencyKey: "order-12" },
    );
    await assert.rejects(submitted, (error: unknown) => {
      assert.ok(error instanceof RequestFailed);
      assert.deepEqual([error.problem.status, error.code, error.idempotencyKey], [0, "unreachable", "order-12"]);
      assert.ok(error.message.includes(`POST ${url}/flux-schnell got no answer`));
      return true;
    });
  });
});

test("a server that does not wait is not asked in a storm", async () => {
  let asked = 0;
  const answering: RequestListener = (_, reply) => {
    asked += 1;
    reply.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ id: "x", state: "running" }));
  };
  await served(answering, async (url) => {
    await assert.rejects(new PipelineClient(url).wait("x", { timeoutSeconds: 0.5 }), WaitedTooLong);
  });
  assert.ok(asked <= 2, `${asked} questions`);
});

async function served(answering: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(answering);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
  }
}
