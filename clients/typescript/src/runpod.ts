import { PipelineError } from "./errors.js";
import type { Extras, InputOf, Model } from "./manifest.js";
import type { Consent, Result } from "./types.js";

/** The interface that the backend's image generation calls. Ids are opaque to it. */
export interface RunPodJobRunner {
  submitBaseImages(input: { prompt: string; nsfw: boolean; seed?: number; useZImage?: boolean }): Promise<string>;
  submitFaceSwap(input: { baseImageUrl: string; prompt: string; nsfw: boolean; seed?: number }): Promise<string>;
  submitCharacterSheet(input: { baseImageUrl: string; nsfw: boolean; angles?: string[] }): Promise<string>;
  getJobStatus(jobId: string): Promise<JobStatus>;
}

export interface JobStatus {
  /** `COMPLETED` and `FAILED` are final; a cancelled or refused job is `FAILED` with its reason. */
  status: "IN_QUEUE" | "IN_PROGRESS" | "COMPLETED" | "FAILED";
  output?: { images: { buffer: Buffer }[] };
  error?: string;
}

/** How jobs get to the pipeline: through the bucket or over HTTP. */
export interface Transport {
  /** Its id in the pipeline. */
  submit<M extends Model>(model: M, input: InputOf<M>, extras: Extras): Promise<string>;
  /** What to write into a picture field for these bytes. */
  picture(bytes: Uint8Array, contentType: string): Promise<string>;
  /** The result when the job has ended, otherwise whether a worker may have it. */
  look(id: string): Promise<Result | "waiting" | "running">;
  output(result: Result, ordinal: number): Promise<Uint8Array>;
}

export interface Options {
  /** Required by the pipeline where a reference face meets `nsfw`. */
  consent?: Consent;
  /** Fetches `baseImageUrl`, which is the backend's own. */
  fetch?: typeof fetch;
  /** Beside each job: tenant, distinct_id, max_cost_usd, metadata … */
  extras?: Extras;
}

const PREFIX = "modal_";
const UNWANTED = "deformed, blurry, bad anatomy, ugly, low quality";
const UNWANTED_UNLESS_NSFW = "nsfw, nude, naked";

/** The pipeline behind the interface that the backend has. */
export class PipelineJobRunner implements RunPodJobRunner {
  constructor(
    private readonly transport: Transport,
    private readonly options: Options = {},
  ) {}

  async submitBaseImages(input: { prompt: string; nsfw: boolean; seed?: number; useZImage?: boolean }): Promise<string> {
    const { prompt, nsfw, useZImage } = input;
    const common = { prompt, nsfw, ...seeded(input.seed) };
    // cfg stays at 1 for both: Flux is steered by guidance, and 3.5 is what the backend's cfg meant.
    return useZImage
      ? this.send("z-image-turbo", common)
      : this.send("flux-dev", { ...common, steps: 20, guidance: 3.5 });
  }

  async submitFaceSwap(input: { baseImageUrl: string; prompt: string; nsfw: boolean; seed?: number }): Promise<string> {
    const reference_image = await this.picture(input.baseImageUrl);
    return this.send("flux-instantid", {
      prompt: input.prompt,
      negative_prompt: input.nsfw ? UNWANTED : `${UNWANTED}, ${UNWANTED_UNLESS_NSFW}`,
      nsfw: input.nsfw,
      reference_image,
      instantid_strength: 0.8,
      ...seeded(input.seed),
    });
  }

  /** Refused by the pipeline as `not_available` until it makes character sheets. */
  async submitCharacterSheet(input: { baseImageUrl: string; nsfw: boolean; angles?: string[] }): Promise<string> {
    const sheet = {
      reference_image: await this.picture(input.baseImageUrl),
      nsfw: input.nsfw,
      ...(input.angles === undefined ? {} : { views: input.angles.map((angle) => ({ angle })) }),
    };
    return this.send("character-sheet" as Model, sheet as never);
  }

  async getJobStatus(jobId: string): Promise<JobStatus> {
    const result = await this.transport.look(jobId.startsWith(PREFIX) ? jobId.slice(PREFIX.length) : jobId);
    if (result === "waiting") return { status: "IN_QUEUE" };
    if (result === "running") return { status: "IN_PROGRESS" };
    if (result.status !== "succeeded") {
      const { message, hint } = result.error ?? { message: result.status, hint: null };
      return { status: "FAILED", error: [message, hint].filter(Boolean).join(" ") };
    }
    const pictures = await Promise.all((result.outputs ?? []).map((_, ordinal) => this.transport.output(result, ordinal)));
    return { status: "COMPLETED", output: { images: pictures.map((bytes) => ({ buffer: Buffer.from(bytes) })) } };
  }

  private async send<M extends Model>(model: M, input: InputOf<M>): Promise<string> {
    const { consent, extras = {} } = this.options;
    return PREFIX + (await this.transport.submit(model, input, { ...(consent ? { consent } : {}), ...extras }));
  }

  private async picture(url: string): Promise<string> {
    const reply = await (this.options.fetch ?? fetch)(url);
    if (!reply.ok) throw new PipelineError(`${url} answered ${reply.status}`);
    const type = (reply.headers.get("content-type") ?? "").split(";")[0]!.trim();
    return this.transport.picture(new Uint8Array(await reply.arrayBuffer()), type);
  }
}

/** 0 is a seed; only an absent one is random. */
function seeded(seed: number | undefined): { seed?: number } {
  return seed === undefined ? {} : { seed };
}
