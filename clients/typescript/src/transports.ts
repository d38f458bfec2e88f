import { BucketProducer } from "./bucket.js";
import { PipelineClient, type Body } from "./http.js";
import type { Extras, InputOf, Model } from "./manifest.js";
import type { Transport } from "./runpod.js";
import type { Result } from "./types.js";

/** Jobs through the bucket: no server of ours stands between. */
export function overBucket(producer: BucketProducer): Transport {
  return {
    submit: async (model, input, extras) => (await producer.submit(model, input, extras)).id,
    picture: (bytes, contentType) => producer.putPicture(bytes, contentType),
    look: async (id) => (await producer.result(id)) ?? ((await producer.taken(id)) ? "running" : "waiting"),
    output: (result, ordinal) => producer.output(result.outputs![ordinal]!),
  };
}

/** Jobs over HTTP. */
export function overHttp(client: PipelineClient): Transport {
  return {
    submit: async <M extends Model>(model: M, input: InputOf<M>, extras: Extras) => {
      const { tenant: _, ...beside } = extras; // the tenant is the key's
      return (await client.submit(model, { ...beside, ...input } as Body<M>)).id;
    },
    picture: async (bytes, contentType) => `data:${contentType};base64,${Buffer.from(bytes).toString("base64")}`,
    look: async (id): Promise<Result | "waiting" | "running"> => {
      const job = await client.job(id);
      if (job.result !== null) return job.result;
      return job.state === "running" ? "running" : "waiting";
    },
    output: async (result, ordinal) => (await client.output(result.id, ordinal)).bytes,
  };
}
