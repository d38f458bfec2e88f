// What a backend's nsfw sheet needs, through its runner against the pipeline: a consent, and nothing else.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { overBucket, overHttp, PipelineJobRunner, type JobStatus, type Options } from "../src/index.js";
import { client, producer } from "./where.js";

/** A picture of a face, where the pipeline has an uncensored checkpoint and lets the tenant use it. */
const face = process.env.RYLA_TEST_FACE;
const consent = { subject: "synthetic", record: "characters/ann.md" } as const;
const size = { width: 512, height: 512 };
const small = { steps: 1, face_steps: 1, attempts_per_view: 1, sizes: { close_up: size, half: size, full: size } };

for (const [name, transport] of [
  ["the bucket", () => overBucket(producer("acme"))],
  ["HTTP", () => overHttp(client())],
] as const) {
  const made = async (options: Options): Promise<JobStatus> => {
    const pictures = async (): Promise<Response> =>
      new Response(await readFile(face!), { headers: { "content-type": "image/png" } });
    const runner = new PipelineJobRunner(transport(), { fetch: pictures as typeof fetch, sheet: small, ...options });
    const id = await runner.submitCharacterSheet({ baseImageUrl: "https://pictures.example/face.png", nsfw: true, angles: ["front"] });
    for (let looks = 0; looks < 300; looks++) {
      const job = await runner.getJobStatus(id);
      if (job.status === "COMPLETED" || job.status === "FAILED") return job;
      await sleep(100);
    }
    throw new Error(`${id} did not end`);
  };

  test(`an nsfw sheet without a consent fails through ${name}, and says what it needs`, { skip: !face }, async () => {
    const { status, error, output } = await made({});
    assert.deepEqual([status, output], ["FAILED", undefined]);
    assert.match(error ?? "", /consent/);
  });

  test(`an nsfw sheet with the runner's consent is made through ${name}`, { skip: !face }, async () => {
    const { status, error, output } = await made({ consent });
    assert.equal(status, "COMPLETED", error);
    assert.deepEqual(output!.images.map(({ view }) => view), ["front"]);
  });
}
