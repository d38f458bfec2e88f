import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { overBucket, overHttp, PipelineJobRunner, type JobStatus, type RunPodJobRunner } from "../src/index.js";
import { client, PNG, producer } from "./where.js";

async function ended(runner: RunPodJobRunner, id: string): Promise<JobStatus> {
  for (let looks = 0; looks < 300; looks++) {
    const job = await runner.getJobStatus(id);
    if (job.status === "COMPLETED" || job.status === "FAILED") return job;
    await sleep(200);
  }
  throw new Error(`${id} did not end`);
}

for (const [name, transport] of [
  ["the bucket", () => overBucket(producer())],
  ["HTTP", () => overHttp(client())],
] as const) {
  test(`base images through ${name}`, async () => {
    const runner = new PipelineJobRunner(transport());
    const id = await runner.submitBaseImages({ prompt: "a portrait", nsfw: false, seed: 0 });
    assert.match(id, /^modal_/);
    const job = await ended(runner, id);
    assert.equal(job.status, "COMPLETED", job.error);
    assert.equal(job.output!.images[0]!.buffer.subarray(1, 4).toString(), "PNG");
  });

  test(`a face from a picture that shows none fails through ${name}, with a reason`, async () => {
    const pictures = createServer((_, reply) => reply.writeHead(200, { "content-type": "image/png" }).end(PNG));
    await new Promise<void>((resolve) => pictures.listen(0, "127.0.0.1", resolve));
    try {
      const runner = new PipelineJobRunner(transport());
      const baseImageUrl = `http://127.0.0.1:${(pictures.address() as AddressInfo).port}/face.png`;
      // Refused at the door over HTTP, by a result through the bucket: either way with its reason.
      const submitted = runner.submitFaceSwap({ baseImageUrl, prompt: "a portrait", nsfw: false });
      const outcome = await submitted.then(
        async (id) => (await ended(runner, id)).error,
        (error: Error) => error.message,
      );
      assert.ok(outcome && outcome.length > 10, outcome);
    } finally {
      pictures.close();
    }
  });
}
