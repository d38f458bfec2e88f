// Generated from the pipeline's JSON Schemas by scripts/types.mjs. Do not edit.
/* eslint-disable */

export type Manifest =
  | FluxDevManifest
  | FluxSchnellManifest
  | FluxLoraManifest
  | FluxInstantidManifest
  | SdxlInstantidManifest
  | ZImageTurboManifest
  | CharacterSheetManifest
  | WorkflowManifest;

export interface FluxDevManifest {
  version: 1;
  model: "flux-dev";
  input: FluxDevInput;
  tenant?: string;
  distinct_id?: string | null;
  priority?: number;
  deadline?: string | null;
  max_cost_usd?: number | null;
  consent?: Consent | null;
  batch?: string | null;
  metadata?: {
    [k: string]: unknown;
  };
  callback_url?: string | null;
}
export interface FluxDevInput {
  /**
   * What the picture shows.
   */
  prompt: string;
  /**
   * Taken for older clients; it has no effect at cfg 1.
   */
  negative_prompt?: string;
  /**
   * Pixels; at most 2 Mi in all.
   */
  width?: number;
  /**
   * Pixels; at most 2 Mi in all.
   */
  height?: number;
  /**
   * Sampler steps.
   */
  steps?: number;
  /**
   * Taken for older clients: any value but 1.0 is read as guidance.
   */
  cfg?: number;
  /**
   * 0 is a seed; null derives one from the id.
   */
  seed?: number | null;
  /**
   * Pictures, each with its own seed.
   */
  num_images?: number;
  output_format?: "png" | "jpeg" | "webp";
  /**
   * Write the prompt into the delivered files' metadata.
   */
  embed_prompt?: boolean;
  /**
   * Use the uncensored checkpoint.
   */
  nsfw?: boolean;
  /**
   * Sooner, but another picture; 0 is off (docs/money.md).
   */
  step_cache?: number;
  /**
   * Distilled guidance; null means 3.5.
   */
  guidance?: number | null;
}
/**
 * The producer's statement on the person shown; kept with the manifest.
 */
export interface Consent {
  subject: "synthetic" | "consented";
  record: string;
}
export interface FluxSchnellManifest {
  version: 1;
  model: "flux-schnell";
  input: FluxSchnellInput;
  tenant?: string;
  distinct_id?: string | null;
  priority?: number;
  deadline?: string | null;
  max_cost_usd?: number | null;
  consent?: Consent | null;
  batch?: string | null;
  metadata?: {
    [k: string]: unknown;
  };
  callback_url?: string | null;
}
export interface FluxSchnellInput {
  /**
   * What the picture shows.
   */
  prompt: string;
  /**
   * Taken for older clients; it has no effect at cfg 1.
   */
  negative_prompt?: string;
  /**
   * Pixels; at most 2 Mi in all.
   */
  width?: number;
  /**
   * Pixels; at most 2 Mi in all.
   */
  height?: number;
  /**
   * Sampler steps.
   */
  steps?: number;
  /**
   * Taken for older clients; schnell has no guidance.
   */
  cfg?: number;
  /**
   * 0 is a seed; null derives one from the id.
   */
  seed?: number | null;
  /**
   * Pictures, each with its own seed.
   */
  num_images?: number;
  output_format?: "png" | "jpeg" | "webp";
  /**
   * Write the prompt into the delivered files' metadata.
   */
  embed_prompt?: boolean;
  /**
   * Use the uncensored checkpoint.
   */
  nsfw?: boolean;
}
export interface FluxLoraManifest {
  version: 1;
  model: "flux-lora";
  input: FluxLoraInput;
  tenant?: string;
  distinct_id?: string | null;
  priority?: number;
  deadline?: string | null;
  max_cost_usd?: number | null;
  consent?: Consent | null;
  batch?: string | null;
  metadata?: {
    [k: string]: unknown;
  };
  callback_url?: string | null;
}
export interface FluxLoraInput {
  /**
   * What the picture shows.
   */
  prompt: string;
  /**
   * Taken for older clients; it has no effect at cfg 1.
   */
  negative_prompt?: string;
  /**
   * Pixels; at most 2 Mi in all.
   */
  width?: number;
  /**
   * Pixels; at most 2 Mi in all.
   */
  height?: number;
  /**
   * Sampler steps.
   */
  steps?: number;
  /**
   * Taken for older clients: any value but 1.0 is read as guidance.
   */
  cfg?: number;
  /**
   * 0 is a seed; null derives one from the id.
   */
  seed?: number | null;
  /**
   * Pictures, each with its own seed.
   */
  num_images?: number;
  output_format?: "png" | "jpeg" | "webp";
  /**
   * Write the prompt into the delivered files' metadata.
   */
  embed_prompt?: boolean;
  /**
   * Use the uncensored checkpoint.
   */
  nsfw?: boolean;
  /**
   * Of a character's LoRA.
   */
  lora_id?: string | null;
  /**
   * File name under loras/.
   */
  lora_name?: string | null;
  /**
   * One training's file.
   */
  lora_version?: string | null;
  /**
   * On the diffusion model.
   */
  lora_strength?: number;
  /**
   * Put before each prompt; null takes the one stored beside the LoRA.
   */
  trigger_word?: string | null;
  /**
   * Sooner, but another picture; 0 is off (docs/money.md).
   */
  step_cache?: number;
  /**
   * Distilled guidance; null means 3.5.
   */
  guidance?: number | null;
}
export interface FluxInstantidManifest {
  version: 1;
  model: "flux-instantid";
  input: FluxInstantIdInput;
  tenant?: string;
  distinct_id?: string | null;
  priority?: number;
  deadline?: string | null;
  max_cost_usd?: number | null;
  consent?: Consent | null;
  batch?: string | null;
  metadata?: {
    [k: string]: unknown;
  };
  callback_url?: string | null;
}
export interface FluxInstantIdInput {
  /**
   * What the picture shows.
   */
  prompt: string;
  /**
   * What SDXL is to keep away from.
   */
  negative_prompt?: string;
  /**
   * Pixels; at most 2 Mi in all.
   */
  width?: number;
  /**
   * Pixels; at most 2 Mi in all.
   */
  height?: number;
  /**
   * Sampler steps of the composition; 8 on z-image-turbo unless given.
   */
  steps?: number;
  /**
   * Taken for older clients: any value but 1.0 is read as guidance.
   */
  cfg?: number;
  /**
   * 0 is a seed; null derives one from the id.
   */
  seed?: number | null;
  /**
   * Pictures, each with its own seed.
   */
  num_images?: number;
  output_format?: "png" | "jpeg" | "webp";
  /**
   * Write the prompt into the delivered files' metadata.
   */
  embed_prompt?: boolean;
  /**
   * Use the uncensored checkpoint.
   */
  nsfw?: boolean;
  /**
   * Keys of one to five pictures of the person, for reference_image.
   *
   * @maxItems 5
   */
  reference_images?: string[];
  /**
   * Key of a picture of the person, under inputs/; its largest face is taken.
   */
  reference_image?: string | null;
  /**
   * How much the face is the reference's.
   */
  instantid_strength?: number;
  /**
   * How strictly eyes, nose and mouth keep their places.
   */
  controlnet_strength?: number;
  /**
   * Share of the sampling at which InstantID sets in.
   */
  start_at?: number;
  /**
   * Share of the sampling at which it ends.
   */
  end_at?: number;
  /**
   * Of ComfyUI's KSampler.
   */
  sampler_name?: string;
  /**
   * Of ComfyUI's KSampler.
   */
  scheduler?: string;
  /**
   * An SDXL checkpoint of models.toml, by file or name; null takes the set's own.
   */
  sdxl_checkpoint?: string | null;
  /**
   * Taken for older clients: GPU means CUDA.
   */
  face_provider?: "CPU" | "GPU";
  /**
   * Below it, another seed is tried.
   */
  min_face_match?: number | null;
  /**
   * Below it, another seed is tried.
   */
  min_face_similarity?: number | null;
  /**
   * Seeds tried for a picture that is not as asked; the best is kept.
   */
  max_tries?: number;
  /**
   * How the head is turned, or a name; null leaves it as referenced or composed.
   */
  head?:
    | ("front" | "three-quarter-left" | "three-quarter-right" | "side-left" | "side-right" | "up" | "down")
    | HeadInput
    | null;
  /**
   * How much of the person is seen, with `head` alone; null means close-up.
   */
  framing?: ("close-up" | "half" | "full") | null;
  /**
   * The model that composes the picture.
   */
  base?: "flux-dev" | "z-image-turbo";
  /**
   * Of flux-dev; null means 3.5.
   */
  guidance?: number | null;
  /**
   * How much of the face is made anew; 0.5 to 0.7.
   */
  denoise?: number;
  /**
   * Sampler steps of the face.
   */
  face_steps?: number;
  /**
   * SDXL's guidance on the face.
   */
  face_cfg?: number;
  /**
   * Which face of the composition, 0 the largest; null takes that one too.
   */
  face_index?: number | null;
  /**
   * The square made anew, in lengths of the face.
   */
  face_padding?: number;
  /**
   * Deliver a composition without a face as it is; else another is made.
   */
  allow_no_face?: boolean;
  /**
   * Store the picture before its face pass too.
   */
  keep_composition?: boolean;
}
/**
 * Where a head is turned, in degrees; all 0 looks into the camera.
 */
export interface HeadInput {
  /**
   * Above 0, the face turns to the picture's right.
   */
  yaw?: number;
  /**
   * Above 0, it looks up.
   */
  pitch?: number;
  /**
   * Above 0, it leans clockwise.
   */
  roll?: number;
}
export interface SdxlInstantidManifest {
  version: 1;
  model: "sdxl-instantid";
  input: SdxlInstantIdInput;
  tenant?: string;
  distinct_id?: string | null;
  priority?: number;
  deadline?: string | null;
  max_cost_usd?: number | null;
  consent?: Consent | null;
  batch?: string | null;
  metadata?: {
    [k: string]: unknown;
  };
  callback_url?: string | null;
}
export interface SdxlInstantIdInput {
  /**
   * What the picture shows.
   */
  prompt: string;
  /**
   * What SDXL is to keep away from.
   */
  negative_prompt?: string;
  /**
   * Pixels; at most 2 Mi in all.
   */
  width?: number;
  /**
   * Pixels; at most 2 Mi in all.
   */
  height?: number;
  /**
   * Sampler steps.
   */
  steps?: number;
  /**
   * Guidance; 5 to 7 are usual.
   */
  cfg?: number;
  /**
   * 0 is a seed; null derives one from the id.
   */
  seed?: number | null;
  /**
   * Pictures, each with its own seed.
   */
  num_images?: number;
  output_format?: "png" | "jpeg" | "webp";
  /**
   * Write the prompt into the delivered files' metadata.
   */
  embed_prompt?: boolean;
  /**
   * Use the uncensored checkpoint.
   */
  nsfw?: boolean;
  /**
   * Keys of one to five pictures of the person, for reference_image.
   *
   * @maxItems 5
   */
  reference_images?: string[];
  /**
   * Key of a picture of the person, under inputs/; its largest face is taken.
   */
  reference_image?: string | null;
  /**
   * How much the face is the reference's.
   */
  instantid_strength?: number;
  /**
   * How strictly eyes, nose and mouth keep their places.
   */
  controlnet_strength?: number;
  /**
   * Share of the sampling at which InstantID sets in.
   */
  start_at?: number;
  /**
   * Share of the sampling at which it ends.
   */
  end_at?: number;
  /**
   * Of ComfyUI's KSampler.
   */
  sampler_name?: string;
  /**
   * Of ComfyUI's KSampler.
   */
  scheduler?: string;
  /**
   * An SDXL checkpoint of models.toml, by file or name; null takes the set's own.
   */
  sdxl_checkpoint?: string | null;
  /**
   * Taken for older clients: GPU means CUDA.
   */
  face_provider?: "CPU" | "GPU";
  /**
   * Below it, another seed is tried.
   */
  min_face_match?: number | null;
  /**
   * Below it, another seed is tried.
   */
  min_face_similarity?: number | null;
  /**
   * Seeds tried for a picture that is not as asked; the best is kept.
   */
  max_tries?: number;
  /**
   * How the head is turned, or a name; null leaves it as referenced or composed.
   */
  head?:
    | ("front" | "three-quarter-left" | "three-quarter-right" | "side-left" | "side-right" | "up" | "down")
    | HeadInput
    | null;
  /**
   * How much of the person is seen, with `head` alone; null means close-up.
   */
  framing?: ("close-up" | "half" | "full") | null;
}
export interface ZImageTurboManifest {
  version: 1;
  model: "z-image-turbo";
  input: ZImageTurboInput;
  tenant?: string;
  distinct_id?: string | null;
  priority?: number;
  deadline?: string | null;
  max_cost_usd?: number | null;
  consent?: Consent | null;
  batch?: string | null;
  metadata?: {
    [k: string]: unknown;
  };
  callback_url?: string | null;
}
export interface ZImageTurboInput {
  /**
   * What the picture shows.
   */
  prompt: string;
  /**
   * Taken for older clients; it has no effect at cfg 1.
   */
  negative_prompt?: string;
  /**
   * Pixels; at most 2 Mi in all.
   */
  width?: number;
  /**
   * Pixels; at most 2 Mi in all.
   */
  height?: number;
  /**
   * Sampler steps.
   */
  steps?: number;
  /**
   * Taken for older clients; the model needs 1.
   */
  cfg?: number;
  /**
   * 0 is a seed; null derives one from the id.
   */
  seed?: number | null;
  /**
   * Pictures, each with its own seed.
   */
  num_images?: number;
  output_format?: "png" | "jpeg" | "webp";
  /**
   * Write the prompt into the delivered files' metadata.
   */
  embed_prompt?: boolean;
  /**
   * Use the uncensored checkpoint.
   */
  nsfw?: boolean;
  /**
   * Of a character's LoRA.
   */
  lora_id?: string | null;
  /**
   * File name under loras/.
   */
  lora_name?: string | null;
  /**
   * One training's file.
   */
  lora_version?: string | null;
  /**
   * On the diffusion model.
   */
  lora_strength?: number;
  /**
   * Put before each prompt; null takes the one stored beside the LoRA.
   */
  trigger_word?: string | null;
}
export interface CharacterSheetManifest {
  version: 1;
  model: "character-sheet";
  input: CharacterSheetInput;
  tenant?: string;
  distinct_id?: string | null;
  priority?: number;
  deadline?: string | null;
  max_cost_usd?: number | null;
  consent?: Consent | null;
  batch?: string | null;
  metadata?: {
    [k: string]: unknown;
  };
  callback_url?: string | null;
}
/**
 * A person by pictures, by a LoRA or by both, and the views that are wanted of them.
 */
export interface CharacterSheetInput {
  /**
   * The character's; a title, no part of any prompt.
   */
  name: string;
  /**
   * Who is seen, as in a prompt: `a woman of 30 with short red hair`.
   */
  description?: string;
  /**
   * Keys of one to five pictures of the person, under inputs/.
   *
   * @maxItems 5
   */
  reference_images?: string[];
  /**
   * The model that composes the views.
   */
  base?: "sdxl" | "flux-dev" | "z-image-turbo";
  /**
   * Of a character's LoRA.
   */
  lora_id?: string | null;
  /**
   * File name under loras/.
   */
  lora_name?: string | null;
  /**
   * One training's file.
   */
  lora_version?: string | null;
  /**
   * On the diffusion model.
   */
  lora_strength?: number;
  /**
   * Put before each prompt; null takes the one stored beside the LoRA.
   */
  trigger_word?: string | null;
  /**
   * A preset, or a list of views.
   */
  views?: ("ten" | "lora-24") | View[];
  /**
   * Which of these views to make, in this order; null makes all.
   */
  view_ids?: string[] | null;
  /**
   * Views that an ended sheet has, and that are not made again.
   */
  reuse?: Reuse | null;
  /**
   * Words that every prompt ends with.
   */
  style?: string;
  /**
   * Clothes in views that name none.
   */
  outfit?: string;
  /**
   * Behind views that name none; empty is plain grey.
   */
  background?: string;
  /**
   * What SDXL is to keep away from.
   */
  negative_prompt?: string;
  /**
   * 0 is a seed; null derives one from the id.
   */
  seed?: number | null;
  /**
   * One seed for all views keeps hair and clothes; one a view varies them.
   */
  seeds?: "one" | "per-view";
  /**
   * Below it, a view is made again.
   */
  min_face_match?: number | null;
  /**
   * Times that a view is made at most; the best is kept.
   */
  attempts_per_view?: number;
  /**
   * Fewer make the sheet fail; null means 7 of 10, rounded up.
   */
  min_views?: number | null;
  sizes?: Sizes;
  /**
   * Sampler steps of the base: 25 on sdxl, 20 on flux-dev, 8 on z-image-turbo.
   */
  steps?: number | null;
  /**
   * SDXL's guidance, where it composes.
   */
  cfg?: number;
  /**
   * Of flux-dev; null means 3.5.
   */
  guidance?: number | null;
  /**
   * How much the face is the references'.
   */
  instantid_strength?: number;
  /**
   * How strictly the face is turned as drawn.
   */
  controlnet_strength?: number;
  /**
   * How much of a composed face is made anew.
   */
  denoise?: number;
  /**
   * Sampler steps of a face in a composition.
   */
  face_steps?: number;
  /**
   * SDXL's guidance on a face in a composition.
   */
  face_cfg?: number;
  /**
   * An SDXL checkpoint of models.toml, by file or name; null takes the set's own.
   */
  sdxl_checkpoint?: string | null;
  /**
   * Use the uncensored checkpoint of flux-dev.
   */
  nsfw?: boolean;
  output_format?: "png" | "jpeg" | "webp";
}
/**
 * One picture of a sheet, as it is asked for.
 */
export interface View {
  /**
   * Its name in the sheet: small letters, digits and hyphens.
   */
  id: string;
  /**
   * Where the head is turned, or a name; to the front unless given.
   */
  head?:
    ("front" | "three-quarter-left" | "three-quarter-right" | "side-left" | "side-right" | "up" | "down") | HeadInput;
  /**
   * Seen from behind; no face is to be seen.
   */
  back?: boolean;
  /**
   * How much of the person is to be seen.
   */
  framing?: "close-up" | "half" | "full";
  /**
   * Such as standing, sitting, dynamic.
   */
  pose?: string;
  /**
   * Such as neutral, smiling, confident.
   */
  expression?: string;
  /**
   * Clothes; empty takes the sheet's.
   */
  outfit?: string;
  /**
   * Such as studio, natural, dramatic.
   */
  light?: string;
  /**
   * Empty takes the sheet's.
   */
  background?: string;
}
/**
 * Views that an ended sheet of the same tenant and person has.
 */
export interface Reuse {
  /**
   * The ended sheet.
   */
  job: string;
  /**
   * Its views that are reused as they are, by their ids.
   *
   * @minItems 1
   * @maxItems 40
   */
  views: string[];
}
/**
 * Of the framings: 1024x1024, 896x1152 and 832x1216 unless given.
 */
export interface Sizes {
  close_up?: Size;
  half?: Size;
  full?: Size;
}
/**
 * Pixels. Trainers sort pictures into sizes in steps of 64.
 */
export interface Size {
  width: number;
  height: number;
}
export interface WorkflowManifest {
  version: 1;
  model: "workflow";
  input: WorkflowInput;
  tenant?: string;
  distinct_id?: string | null;
  priority?: number;
  deadline?: string | null;
  max_cost_usd?: number | null;
  consent?: Consent | null;
  batch?: string | null;
  metadata?: {
    [k: string]: unknown;
  };
  callback_url?: string | null;
}
export interface WorkflowInput {
  /**
   * The graph in ComfyUI's API format.
   */
  workflow: {
    [k: string]: unknown;
  };
  /**
   * Takes the place of every input that is {{prompt}}.
   */
  prompt?: string | null;
  /**
   * Takes the place of every input that is {{seed}}; null derives one from the id.
   */
  seed?: number | null;
  /**
   * Picture by the name that the graph loads it under.
   */
  inputs?: {
    [k: string]: string;
  };
  /**
   * Of still pictures; null leaves them as the graph saved them.
   */
  output_format?: ("png" | "jpeg" | "webp") | null;
  /**
   * The graph uses the uncensored checkpoint.
   */
  nsfw?: boolean;
}

export type Status = "succeeded" | "failed" | "rejected" | "cancelled" | "forgotten";
export type JsonValue = unknown;

export interface Result {
  v?: number;
  id: string;
  status: Status;
  model: string | null;
  tenant: string | null;
  /**
   * Where it ran, or where it was refused or cancelled, such as `modal`; null in results from
   * before it was noted.
   */
  platform?: string | null;
  /**
   * The batch that it was sent in.
   */
  batch?: string | null;
  /**
   * 0 when no execution or dispatcher had the job (a cancel while it waited).
   */
  attempt: number;
  /**
   * Of whoever wrote it.
   */
  nonce: string;
  /**
   * Of the bytes of `jobs/<id>/manifest.json`.
   */
  manifest_sha256: string;
  /**
   * When the manifest was written, as is `finished_at` by the store's clock.
   */
  submitted_at?: string | null;
  finished_at: string;
  /**
   * The job's, given or derived from its id; null where it did not get that far.
   */
  seed?: number | null;
  outputs?: Output[];
  /**
   * Whether it is a character sheet that lacks views, with at least `min_views` of them.
   */
  partial?: boolean;
  /**
   * Views that a character sheet lacks.
   */
  missing?: MissingView[];
  /**
   * Files that are no pictures of the job: of a character sheet, `sheet.json` and its contact
   * sheet.
   */
  files?: ResultFile[];
  /**
   * Of a character sheet: its views as a set.
   */
  sheet?: SetVerdict | null;
  metrics?: Metrics | null;
  cost?: JobCost | null;
  provenance?: Provenance | null;
  error?: ErrorInfo | null;
  /**
   * Further errors of the same manifest.
   */
  also?: ErrorInfo[];
  warnings?: string[];
  metadata?: {
    [k: string]: unknown;
  };
  /**
   * Where the end is told; null for one that may not be called.
   */
  callback_url?: string | null;
  events?: StoredEvent[];
  /**
   * Of a job that is forgotten, null of any other.
   */
  erasure?: Erasure | null;
}
export interface Output {
  key: string;
  bytes: number;
  /**
   * In hex.
   */
  sha256: string;
  /**
   * Pixels; null for a video, as is `height`.
   */
  width: number | null;
  height: number | null;
  content_type: string;
  /**
   * That it was made with.
   */
  seed: number;
  /**
   * Null where nothing was measured.
   */
  face?: OutputFace | null;
  /**
   * Why not, for the kinds that measure: `no_face`, `face_models_missing`.
   */
  face_reason?: string | null;
  /**
   * What a face pass made anew. Outside it, the picture is as it was composed.
   */
  resampled?: Region1 | null;
  /**
   * The picture before its face pass, where it was to be kept.
   */
  composition?: Output | null;
  /**
   * Where a view was asked for: in a character sheet, or by `head`.
   */
  view?: OutputView | null;
}
/**
 * A face measured against the reference.
 */
export interface OutputFace {
  /**
   * Cosine of the embeddings.
   */
  similarity: number;
  /**
   * Null without a baseline.
   */
  match?: number | null;
  baseline?: FaceBaseline | null;
  /**
   * Why there is no match, such as `baseline_unknown`. Beside a match `profile` says that it is
   * to references from the same side: not calibrated, so it counts for no gate and no mean.
   */
  reason?: string | null;
  /**
   * What was measured with; similarities of different ones do not compare.
   */
  embedder: string;
  /**
   * Of the embedder's file; null in results from before it was noted.
   */
  embedder_sha256?: string | null;
  /**
   * In the picture.
   */
  faces_found: number;
  box: Region;
  /**
   * That it was made with.
   */
  seed: number;
  /**
   * From 0: which of the tries this is.
   */
  gate_try?: number;
  /**
   * How many were made.
   */
  tries?: number;
}
/**
 * Similarities of the same person and of strangers: what counts as match 1 and as match 0.
 */
export interface FaceBaseline {
  same_mean: number;
  strangers_mean: number;
}
/**
 * Where it is.
 */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}
/**
 * Whole pixels, from the picture's top left corner.
 */
export interface Region1 {
  x: number;
  y: number;
  width: number;
  height: number;
}
/**
 * Which view a picture was to show, and how it came about.
 */
export interface OutputView {
  /**
   * Its place in a character sheet, from 1: a missing one shifts no other.
   */
  number?: number | null;
  /**
   * Of the sheet's view, or the picture's name.
   */
  id: string;
  asked?: ViewAngles | null;
  /**
   * Null where nothing was measured.
   */
  measured?: ViewAngles | null;
  /**
   * Null where it could not be judged.
   */
  ok?: boolean | null;
  /**
   * Why not, such as `unmeasured` of a profile in which no face was found.
   */
  reason?: string | null;
  /**
   * The job that made it, where this one reuses it; its picture lies in that job's folder.
   */
  reused_from?: string | null;
  /**
   * Times that it was made.
   */
  tries?: number;
  /**
   * That its graphs took, all tries together.
   */
  seconds?: number;
  /**
   * Its share of the job's cost, by these seconds.
   */
  usd?: number;
}
/**
 * Degrees, and how much of the figure is in the picture; null where there is no face.
 */
export interface ViewAngles {
  /**
   * Above 0, the face turns to the picture's right.
   */
  yaw?: number | null;
  pitch?: number | null;
  roll?: number | null;
  framing?: string | null;
}
/**
 * A view that a character sheet lacks.
 */
export interface MissingView {
  number: number;
  id: string;
  /**
   * What the best of its pictures lacks, such as `face_below_gate`, or why there was no further
   * try: the code of the error that ended the job, `over_budget`, `cancelled`.
   */
  reason: string;
  tries?: number;
  /**
   * Key of that picture.
   */
  best?: string | null;
  seconds?: number;
  usd?: number;
}
/**
 * A file beside the pictures.
 */
export interface ResultFile {
  /**
   * Such as `sheet.json`.
   */
  name: string;
  key: string;
  bytes: number;
  sha256: string;
  content_type: string;
}
/**
 * The set as a whole.
 */
export interface SetVerdict {
  /**
   * Asked for.
   */
  views: number;
  made: number;
  /**
   * Pictures whose match is known.
   */
  compared: number;
  /**
   * Name of the view with the least match.
   */
  worst?: string | null;
  worst_match?: number | null;
  mean_match?: number | null;
  /**
   * The two faces that are least alike.
   */
  least_alike?: Pair | null;
  /**
   * Mean similarity of all pairs of faces.
   */
  mean_alike?: number | null;
  /**
   * The same head and framing, and hardly another picture.
   */
  too_alike?: Pair[];
  coverage: Coverage;
  trainable: boolean;
  /**
   * In one line.
   */
  because: string;
  /**
   * What would make it trainable, such as `add 4 close-up`.
   */
  wanting?: string[];
}
/**
 * Two views by their names.
 */
export interface Pair {
  /**
   * @minItems 2
   * @maxItems 2
   */
  views: unknown[];
  similarity?: number | null;
  match?: number | null;
  /**
   * In which their pictures as a whole differ, of 64.
   */
  bits?: number | null;
}
/**
 * How many pictures there are of each sort.
 */
export interface Coverage {
  angles: {
    [k: string]: number;
  };
  framings: {
    [k: string]: number;
  };
}
/**
 * Seconds by part. `queue` and `claim` are between readings of the store's clock, which ticks
 * in whole seconds; the rest is measured in the worker. Text encoders and weights that load
 * lazily count under the node that needed them (encode, sampling).
 */
export interface Metrics {
  /**
   * Manifest written → claimed.
   */
  queue: number;
  /**
   * Claimed → execution started, less `start`: validation, spawn, the wait for a worker.
   */
  claim: number;
  /**
   * Container and ComfyUI start that this job waited for; 0 when warm.
   */
  start: number;
  /**
   * Nodes that load models.
   */
  load: number;
  /**
   * Nodes that encode texts and pictures.
   */
  encode: number;
  sampling: number;
  /**
   * Nodes that make pixels of latents.
   */
  decode: number;
  /**
   * Nodes of no named part, saving among them.
   */
  other: number;
  /**
   * Checking, encoding and storing the outputs: of all but a job's last one while the next is
   * made.
   */
  upload: number;
  /**
   * Execution started → outputs stored.
   */
  total: number;
  /**
   * As in gpus.toml; the device's own name where it has no row.
   */
  gpu: string;
  /**
   * That are paid for: `total` and `start`.
   */
  gpu_seconds: number;
  cold: boolean;
  /**
   * Null when warm.
   */
  cold_parts?: ColdParts | null;
  /**
   * What the job was expected to take at least, warm, on the first GPU of its route; null where
   * no estimate can be made.
   */
  estimate_seconds?: number | null;
  /**
   * What it was expected to take at most, with all its tries.
   */
  estimate_most_seconds?: number | null;
  /**
   * Weight files that were dropped to make room for this job's: whoever needs them next reads
   * them again.
   */
  evicted?: string[];
}
/**
 * Where the seconds of a cold start went. `container`, `imports` and `comfyui` make up `start`;
 * the others lie in the job's own parts, or beside it.
 */
export interface ColdParts {
  /**
   * Process born → our code begins to load. What the platform did before is in `claim`.
   */
  container: number;
  /**
   * → modules, tables and clients loaded.
   */
  imports: number;
  /**
   * → ComfyUI answers and its device was looked at.
   */
  comfyui: number;
  /**
   * Of `load`: what this job's loader nodes took.
   */
  weights: number;
  /**
   * Of `sampling`: the first sampler step beyond the median of the others. Weights move to the
   * GPU in it.
   */
  first_step: number;
  /**
   * Reading weight files into memory, while ComfyUI started.
   */
  read_ahead: number;
  read_ahead_bytes: number;
}
/**
 * US dollars: the GPU with the route's cores and memory, by the second.
 */
export interface JobCost {
  /**
   * Of the attempt that made this result.
   */
  usd: number;
  /**
   * The share of `usd` that paid for a cold start.
   */
  cold_usd?: number;
  /**
   * With the attempts that were lost or failed before it.
   */
  total_usd: number;
  /**
   * Whether `total_usd` counts a lost attempt until it was given up, not until it died.
   */
  upper_bound?: boolean;
  /**
   * Made as `estimate_seconds` of the metrics.
   */
  estimate_usd?: number | null;
  /**
   * Made as `estimate_most_seconds` of the metrics.
   */
  estimate_most_usd?: number | null;
}
export interface Provenance {
  /**
   * What drew the pictures: `comfyui`, or `standin` where no model did. In events and settings
   * the word means the platform, in code whatever starts workers on one (docs/glossary.md).
   */
  engine: string;
  comfyui_version?: string | null;
  /**
   * Sampler steps that the graphs of all prompts ask for, whichever way they are computed.
   */
  steps?: number;
  /**
   * The input of that name, as the graphs have it; 0 where every step was computed.
   */
  step_cache?: number;
  /**
   * Whether the graphs ran with our node pack in the place of ComfyUI's savers and attention.
   */
  own_nodes?: boolean;
  /**
   * Steps of all prompts by how they were computed: `eager` by ComfyUI's own arithmetic,
   * `compiled` by blocks compiled for this card, `fp8-eager` and `fp8` the same with weights in 8
   * bits, `cached` by the first block alone, the others' work taken from a step before. Empty where
   * ComfyUI loads its models itself and nothing is cached.
   */
  sampled?: {
    [k: string]: number;
  };
  /**
   * Of each graph that ran, in order; file names are left out of it.
   */
  graph_sha256?: string[];
  /**
   * Weight file → its sha256 by models.toml. Empty on the stand-in, where no model ran.
   */
  models?: {
    [k: string]: string | null;
  };
  /**
   * Set of weights that the graphs name → fingerprint of its version (`ryla models history`).
   */
  model_sets?: {
    [k: string]: string;
  };
  lora?: UsedLora | null;
  app_version: string;
}
export interface UsedLora {
  key: string;
  sha256: string;
}
/**
 * An error as it stands in results, leases and rejected/ entries.
 */
export interface ErrorInfo {
  /**
   * Of a class of the tree.
   */
  code: string;
  message: string;
  /**
   * Path of what is at fault, such as `input.width`.
   */
  field?: string | null;
  /**
   * What it held, as text of at most 200 characters.
   */
  value?: string | null;
  hint?: string | null;
  retryable?: boolean;
  /**
   * ComfyUI's last lines, at most 20 of 500 characters, the latest at the end.
   */
  log_tail?: string[];
}
export interface StoredEvent {
  event: string;
  uuid: string;
  distinct_id: string;
  timestamp: string;
  properties: {
    [k: string]: JsonValue;
  };
}
/**
 * How far a job is forgotten.
 */
export interface Erasure {
  /**
   * By the store's clock, as are the others.
   */
  begun_at: string;
  /**
   * From then on nothing of the job can run, so that what is deleted stays deleted.
   */
  quiet_at: string;
  /**
   * Null as long as something of it may be left: `ryla forget` goes on where it was stopped.
   */
  ended_at?: string | null;
  /**
   * Keys outside the job's folder that go with it; none once it has ended.
   */
  left?: string[];
}
