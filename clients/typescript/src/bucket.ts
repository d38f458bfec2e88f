import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  GetObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { IdConflict, PipelineError, WaitedTooLong } from "./errors.js";
import { canonical, checkId, inboxKey, type Extras, type InputOf, type Model } from "./manifest.js";
import type { Output, Result } from "./types.js";

const DEFAULT_PRIORITY = 5;
const DEFAULT_TENANT = "default";
const SUFFIXES: Record<string, string> = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp" };

export interface Submitted {
  id: string;
  /** Of its entry in the inbox. */
  key: string;
  /** False when this very job was there already. */
  fresh: boolean;
}

export interface WaitOptions {
  timeoutSeconds?: number;
  pollSeconds?: number;
  signal?: AbortSignal;
}

/**
 * A client that R2 and other stores take as well as S3: checksums only where they are required, and
 * the bucket in the path where an endpoint is named.
 */
export function pipelineS3(config: S3ClientConfig): S3Client {
  return new S3Client({
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    ...(config.endpoint === undefined ? {} : { forcePathStyle: true }),
    ...config,
  });
}

/** Writes jobs into the bucket and reads what became of them. Needs no server of ours. */
export class BucketProducer {
  constructor(
    private readonly s3: S3Client,
    private readonly bucket: string,
    /** For jobs that name none. */
    private readonly tenant: string = DEFAULT_TENANT,
  ) {}

  /**
   * Puts the job into the inbox, once. The same id with the same job is the same job, also after a
   * lost reply, so an id of your own makes a retry safe.
   * @throws IdConflict when the id was used with another job.
   */
  async submit<M extends Model>(
    model: M,
    input: InputOf<M>,
    extras: Extras = {},
    id: string = randomUUID(),
  ): Promise<Submitted> {
    checkId(id);
    const tenant = extras.tenant ?? this.tenant;
    const manifest = { ...extras, version: 1, model, input, tenant };
    const body = canonical(manifest);
    const key = inboxKey(id, extras.priority ?? DEFAULT_PRIORITY, tenant, model);
    const written = await this.create(key, body);
    const there = written ? undefined : await this.read(key);
    if (there !== undefined && text(there) !== body) throw new IdConflict(id);
    // One of the two, the entry or the manifest that was made of it, shows an earlier job.
    const adopted = await this.read(`jobs/${id}/manifest.json`);
    if (adopted !== undefined && text(adopted) !== body) throw new IdConflict(id);
    return { id, key, fresh: written && adopted === undefined };
  }

  /**
   * Stores a picture for fields such as `reference_image`, and returns the key to write there. Equal
   * pictures have equal keys.
   */
  async putPicture(bytes: Uint8Array, contentType: string): Promise<string> {
    const suffix = SUFFIXES[contentType];
    if (suffix === undefined) {
      throw new RangeError(`${contentType} is none of ${Object.keys(SUFFIXES).join(", ")}`);
    }
    const key = `inputs/${createHash("sha256").update(bytes).digest("hex")}.${suffix}`;
    await this.s3.send(
      new PutObjectCommand({ Bucket: this.bucket, Key: key, Body: bytes, ContentType: contentType }),
    );
    return key;
  }

  /** The result of a job that ended, or undefined. */
  async result(id: string): Promise<Result | undefined> {
    const body = await this.read(`jobs/${checkId(id)}/result.json`);
    return body === undefined ? undefined : (JSON.parse(text(body)) as Result);
  }

  /** Whether a dispatcher has taken the job: its manifest is then no longer only in the inbox. */
  async taken(id: string): Promise<boolean> {
    return (await this.read(`jobs/${checkId(id)}/manifest.json`)) !== undefined;
  }

  /**
   * Asks until the job has ended, well or not. A notification of the bucket on `jobs/<id>/result.json`
   * costs less when many wait.
   * @throws WaitedTooLong, after which the job still goes on.
   */
  async wait(id: string, { timeoutSeconds = 600, pollSeconds = 2, signal }: WaitOptions = {}): Promise<Result> {
    const until = performance.now() + timeoutSeconds * 1000;
    for (;;) {
      const result = await this.result(id);
      if (result !== undefined) return result;
      if (performance.now() + pollSeconds * 1000 > until) throw new WaitedTooLong(id, timeoutSeconds);
      await sleep(pollSeconds * 1000, undefined, signal === undefined ? {} : { signal });
    }
  }

  /** The bytes of one of a result's outputs. */
  async output(output: Output): Promise<Uint8Array> {
    const body = await this.read(output.key);
    if (body === undefined) throw new PipelineError(`${output.key} is gone from the bucket`);
    return body;
  }

  /** False when something is there already. A lost reply of ours looks the same: compare. */
  private async create(key: string, body: string): Promise<boolean> {
    for (;;) {
      try {
        await this.s3.send(
          new PutObjectCommand({
            Bucket: this.bucket,
            Key: key,
            Body: body,
            ContentType: "application/json",
            IfNoneMatch: "*",
          }),
        );
        return true;
      } catch (error) {
        if (!(error instanceof S3ServiceException)) throw error;
        const status = error.$metadata.httpStatusCode;
        if (status === 412) return false;
        if (status !== 409) throw error; // 409: another write to the key was under way
        await sleep(100 + Math.random() * 400);
      }
    }
  }

  private async read(key: string): Promise<Uint8Array | undefined> {
    try {
      const reply = await this.s3.send(new GetObjectCommand({ Bucket: this.bucket, Key: key }));
      return await reply.Body!.transformToByteArray();
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined;
      throw error;
    }
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
