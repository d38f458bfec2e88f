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
  output?: {
    /** In the order of the views of a character sheet, each with its name. */
    images: { buffer: Buffer; view?: string }[];
    /** Of a character sheet that lacks views: which, and why. */
    note?: string;
  };
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
  /** Of every character sheet, over what is sent without: description, style, min_face_match … */
  sheet?: Partial<InputOf<"character-sheet">>;
  /** Beside each job: tenant, distinct_id, max_cost_usd, metadata … */
  extras?: Extras;
}

const PREFIX = "modal_";
const UNWANTED = "deformed, blurry, bad anatomy, ugly, low quality";
const UNWANTED_UNLESS_NSFW = "nsfw, nude, naked";
const SQUARE = { width: 1024, height: 1024 };

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

  /**
   * One picture of each angle in the order given; without any, the ten views that were always made.
   * An angle that is none is refused with the names of those that there are.
   */
  async submitCharacterSheet(input: { baseImageUrl: string; nsfw: boolean; angles?: string[] }): Promise<string> {
    const { angles, nsfw } = input;
    return this.send("character-sheet", {
      name: "character",
      reference_images: [await this.picture(input.baseImageUrl)],
      // Only Flux has an uncensored checkpoint.
      base: nsfw ? "flux-dev" : "sdxl",
      views: "ten",
      ...(angles?.length ? { view_ids: [...new Set(angles.map(viewOf))] } : {}),
      negative_prompt: nsfw ? UNWANTED : `${UNWANTED}, ${UNWANTED_UNLESS_NSFW}`,
      nsfw,
      sizes: { close_up: SQUARE, half: SQUARE, full: SQUARE },
      ...this.options.sheet,
    });
  }

  async getJobStatus(jobId: string): Promise<JobStatus> {
    const result = await this.transport.look(jobId.startsWith(PREFIX) ? jobId.slice(PREFIX.length) : jobId);
    if (result === "waiting") return { status: "IN_QUEUE" };
    if (result === "running") return { status: "IN_PROGRESS" };
    if (result.status !== "succeeded") {
      const { message, hint } = result.error ?? { message: result.status, hint: null };
      return { status: "FAILED", error: [message, hint].filter(Boolean).join(" ") };
    }
    const images = await Promise.all(
      (result.outputs ?? []).map(async ({ view }, ordinal) => ({
        buffer: Buffer.from(await this.transport.output(result, ordinal)),
        ...(view?.number ? { view: view.id } : {}),
      })),
    );
    const missing = (result.missing ?? []).map(({ id, reason }) => `${id} (${reason})`);
    const note = `${images.length} of ${images.length + missing.length} views; missing: ${missing.join(", ")}`;
    return { status: "COMPLETED", output: { images, ...(missing.length ? { note } : {}) } };
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

/** The view of the preset that an angle means: `¾ left`, `3/4 Left` and `three_quarter_left` are one. */
function viewOf(angle: string): string {
  const words = angle.toLowerCase().replace(/¾|3\/4/g, "three-quarter").replace(/profile/g, "side");
  return words.trim().replace(/[\s_]+/g, "-");
}

/** 0 is a seed; only an absent one is random. */
function seeded(seed: number | undefined): { seed?: number } {
  return seed === undefined ? {} : { seed };
}
