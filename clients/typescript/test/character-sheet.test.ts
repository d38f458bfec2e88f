// What the runner asks of the pipeline for a character sheet, and what it makes of its result.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PipelineJobRunner, type Options, type Transport } from "../src/index.js";
import type { Result } from "../src/types.js";
import { PNG } from "./where.js";

interface Sent {
  model: string;
  input: Record<string, unknown>;
  extras: Record<string, unknown>;
}

function runner(options: Options = {}, result?: Partial<Result>): { runner: PipelineJobRunner; sent: Sent[] } {
  const sent: Sent[] = [];
  const transport: Transport = {
    submit: async (model, input, extras) => {
      sent.push({ model, input: { ...input }, extras: { ...extras } });
      return "one";
    },
    picture: async () => "inputs/face.png",
    look: async () => result as Result,
    output: async (_, ordinal) => new Uint8Array([ordinal]),
  };
  const pictures = async (): Promise<Response> => new Response(PNG, { headers: { "content-type": "image/png" } });
  return { runner: new PipelineJobRunner(transport, { fetch: pictures as typeof fetch, ...options }), sent };
}

const base = { baseImageUrl: "https://pictures.example/face.png", nsfw: false };
const output = (id: string, number: number) => ({ key: `jobs/one/out/a1/0${number}-${id}.png`, view: { id, number } });

test("without angles it is the ten views on SDXL, square as before", async () => {
  const { runner: pipeline, sent } = runner();
  assert.equal(await pipeline.submitCharacterSheet(base), "modal_one");
  const { model, input } = sent[0]!;
  assert.equal(model, "character-sheet");
  assert.deepEqual([input.base, input.views, input.view_ids], ["sdxl", "ten", undefined]);
  assert.deepEqual(input.reference_images, ["inputs/face.png"]);
  const square = { width: 1024, height: 1024 };
  assert.deepEqual(input.sizes, { close_up: square, half: square, full: square });
});

test("angles are views in the order given, however they are spelt", async () => {
  const { runner: pipeline, sent } = runner();
  await pipeline.submitCharacterSheet({ ...base, angles: ["Back", "¾ left", "3/4 right", "profile_left", "front", "back"] });
  assert.deepEqual(sent[0]!.input.view_ids, ["back", "three-quarter-left", "three-quarter-right", "side-left", "front"]);
});

test("no angles at all are all views", async () => {
  const { runner: pipeline, sent } = runner();
  await pipeline.submitCharacterSheet({ ...base, angles: [] });
  assert.equal("view_ids" in sent[0]!.input, false);
});

test("an nsfw sheet runs on Flux, with the runner's consent and with none of its own", async () => {
  const consent = { subject: "synthetic", record: "characters/ann.md" } as const;
  for (const options of [{}, { consent }]) {
    const { runner: pipeline, sent } = runner(options);
    await pipeline.submitCharacterSheet({ ...base, nsfw: true });
    assert.deepEqual([sent[0]!.input.base, sent[0]!.input.nsfw], ["flux-dev", true]);
    assert.deepEqual(sent[0]!.extras, options);
  }
});

test("what the runner's own sheet says goes over what is sent without", async () => {
  const { runner: pipeline, sent } = runner({ sheet: { name: "Ann", base: "z-image-turbo", min_face_match: 0.85 } });
  await pipeline.submitCharacterSheet(base);
  const { name, base: on, min_face_match } = sent[0]!.input;
  assert.deepEqual([name, on, min_face_match], ["Ann", "z-image-turbo", 0.85]);
});

test("a whole sheet is COMPLETED, its images in the order of its views", async () => {
  const outputs = [output("front", 1), output("back", 2)] as unknown as NonNullable<Result["outputs"]>;
  const { runner: pipeline } = runner({}, { status: "succeeded", outputs, missing: [] });
  const job = await pipeline.getJobStatus("modal_one");
  assert.equal(job.status, "COMPLETED");
  assert.deepEqual(job.output!.images.map(({ view, buffer }) => [view, buffer[0]]), [["front", 0], ["back", 1]]);
  assert.equal(job.output!.note, undefined);
});

test("a sheet that lacks views is COMPLETED, with a note that names them", async () => {
  const outputs = [output("front", 1), output("back", 3)] as unknown as NonNullable<Result["outputs"]>;
  const missing = [{ number: 2, id: "side-left", reason: "wrong_yaw" }] as unknown as NonNullable<Result["missing"]>;
  const { runner: pipeline } = runner({}, { status: "succeeded", partial: true, outputs, missing });
  const job = await pipeline.getJobStatus("modal_one");
  assert.equal(job.status, "COMPLETED");
  assert.deepEqual(job.output!.images.map(({ view }) => view), ["front", "back"]);
  assert.equal(job.output!.note, "2 of 3 views; missing: side-left (wrong_yaw)");
  assert.equal(job.error, undefined);
});

test("a sheet of too few views is FAILED, with its reason", async () => {
  const error = { code: "too_few_views", message: "2 of 10 views are there.", hint: "Another reference." };
  const { runner: pipeline } = runner({}, { status: "failed", error: error as NonNullable<Result["error"]>, outputs: [] });
  assert.deepEqual(await pipeline.getJobStatus("modal_one"), {
    status: "FAILED",
    error: "2 of 10 views are there. Another reference.",
  });
});
