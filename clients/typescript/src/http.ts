import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { JobFailed, PipelineError, RequestFailed, WaitedTooLong, type Problem } from "./errors.js";
import type { Extras, InputOf, Model } from "./manifest.js";
import type { Result } from "./types.js";

/** Longest that the server holds one request, in seconds. */
const LONGEST_WAIT = 120;
/** Between questions that were answered at once. */
const ASK_EVERY_MS = 1000;
/** What may pass when the same request is sent again. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A job as it stands. `result` is there when it is finished. */
export interface Job {
  id: string;
  state: "waiting" | "claimed" | "running" | "retry" | "finished";
  status: Result["status"] | null;
  model: string | null;
  attempt: number | null;
  progress: { fraction?: number; step?: string | null } | null;
  /** Paths of its pictures, in order. */
  outputs: string[];
  result: Result | null;
  /** What it is expected to take on a warm GPU, in the answer to its submission alone. */
  estimate?: Estimate | null;
  /** Where its budget or its time may not last for all tries; as `estimate`. */
  warnings?: string[];
}

/** In seconds and dollars; null where none can be made. */
export interface Estimate {
  gpu: string;
  /** With each picture made once. */
  seconds: number | null;
  /** With all tries. */
  most_seconds: number | null;
  usd: number | null;
  most_usd: number | null;
}

export interface Picture {
  bytes: Uint8Array;
  contentType: string;
}

export interface ClientOptions {
  /** Of a tenant; a server on this machine may ask for none. */
  apiKey?: string | undefined;
  fetch?: typeof fetch;
  /** How long one call keeps trying when the server is away or busy. */
  retrySeconds?: number;
}

/** The body of a submission: the input's fields beside those of a manifest. */
export type Body<M extends Model> = Omit<InputOf<M>, "reference_image"> &
  Omit<Extras, "tenant"> & {
    /** A key under inputs/, a data URL, or an https URL of a host that the server allows. */
    reference_image?: string;
  };

interface Call {
  method: "GET" | "POST" | "DELETE";
  path: string;
  headers?: Record<string, string>;
  body?: string;
  /** How long the server was asked to wait. */
  waitSeconds?: number;
  signal?: AbortSignal;
}

/** Sends jobs over HTTP. A call that is repeated carries the same key, so nothing is paid twice. */
export class PipelineClient {
  private readonly baseUrl: string;
  private readonly options: ClientOptions;

  constructor(baseUrl: string, options: ClientOptions = {}) {
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.options = options;
  }

  /**
   * Submits a job, and waits for it `waitSeconds` at most.
   * @param idempotencyKey The same key with the same body is the same job; a new one each time if none.
   * @throws RequestFailed for what the server refuses.
   */
  async submit<M extends Model>(
    model: M,
    body: Body<M>,
    { idempotencyKey = randomUUID() as string, waitSeconds = 0, signal }: SubmitOptions = {},
  ): Promise<Job> {
    const wait = Math.min(Math.max(0, Math.floor(waitSeconds)), LONGEST_WAIT);
    const reply = await this.send({
      method: "POST",
      path: `/${model}`,
      headers: {
        "content-type": "application/json",
        "idempotency-key": idempotencyKey,
        prefer: `wait=${wait}`,
      },
      body: JSON.stringify(body),
      waitSeconds: wait,
      ...(signal ? { signal } : {}),
    });
    return (await reply.json()) as Job;
  }

  /** Submits a job and follows it to its end. @throws JobFailed unless it succeeded, WaitedTooLong. */
  async generate<M extends Model>(
    model: M,
    body: Body<M>,
    options: SubmitOptions & { timeoutSeconds?: number } = {},
  ): Promise<Job> {
    const { timeoutSeconds = 600 } = options;
    const began = performance.now();
    const waitSeconds = Math.min(options.waitSeconds ?? LONGEST_WAIT, timeoutSeconds);
    const first = await this.submit(model, body, { ...options, waitSeconds });
    const left = timeoutSeconds - (performance.now() - began) / 1000;
    const job = await this.wait(first.id, { timeoutSeconds: left, ...(options.signal ? { signal: options.signal } : {}) }, first);
    if (job.result === null) throw new PipelineError(`the result of job ${job.id} cannot be read`);
    if (job.status !== "succeeded") throw new JobFailed(job.result);
    const { estimate = null, warnings = [] } = first;
    return { ...job, estimate, warnings };
  }

  /** The job when it is finished, well or not. @throws WaitedTooLong, after which it still goes on. */
  async wait(id: string, { timeoutSeconds = 600, signal }: WaitingOptions = {}, known?: Job): Promise<Job> {
    const until = performance.now() + timeoutSeconds * 1000;
    for (let job = known; ; ) {
      if (job?.state === "finished") return job;
      const asked = performance.now();
      if (asked >= until) throw new WaitedTooLong(id, timeoutSeconds);
      job = await this.job(id, { waitSeconds: (until - asked) / 1000, ...(signal ? { signal } : {}) });
      // Where the server does not wait, as one that stops or for less than a second, we do.
      const next = Math.min(asked + ASK_EVERY_MS, until);
      if (job.state !== "finished") await sleep(Math.max(0, Math.ceil(next - performance.now())), undefined, signal ? { signal } : {});
    }
  }

  async job(id: string, { waitSeconds = 0, signal }: JobOptions = {}): Promise<Job> {
    const wait = Math.min(Math.max(0, Math.floor(waitSeconds)), LONGEST_WAIT);
    const reply = await this.send({
      method: "GET",
      path: `/jobs/${encodeURIComponent(id)}`,
      headers: wait > 0 ? { prefer: `wait=${wait}` } : {},
      waitSeconds: wait,
      ...(signal ? { signal } : {}),
    });
    return (await reply.json()) as Job;
  }

  /** One of a finished job's pictures, counted from 0. */
  async output(id: string, ordinal = 0): Promise<Picture> {
    const reply = await this.send({ method: "GET", path: `/jobs/${encodeURIComponent(id)}/outputs/${ordinal}` });
    return {
      bytes: new Uint8Array(await reply.arrayBuffer()),
      contentType: reply.headers.get("content-type") ?? "application/octet-stream",
    };
  }

  /** Ends a job that has not ended. */
  async cancel(id: string): Promise<Job> {
    const reply = await this.send({ method: "DELETE", path: `/jobs/${encodeURIComponent(id)}` });
    return (await reply.json()) as Job;
  }

  /** The job each time it changed, until it is finished. A broken connection is taken up again. */
  async *follow(id: string, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<Job> {
    let lastEventId: string | undefined;
    for (;;) {
      const reply = await this.send({
        method: "GET",
        path: `/jobs/${encodeURIComponent(id)}/events`,
        headers: {
          accept: "text/event-stream",
          ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
        },
        waitSeconds: LONGEST_WAIT + 30,
        ...(signal ? { signal } : {}),
      });
      try {
        for await (const event of events(reply)) {
          lastEventId = event.id ?? lastEventId;
          const job = JSON.parse(event.data) as Job;
          yield job;
          if (job.state === "finished") return;
        }
      } catch (error) {
        if (signal?.aborted || !(error instanceof TypeError)) throw error;
      }
      await sleep(500, undefined, signal ? { signal } : {});
    }
  }

  private async send(call: Call): Promise<Response> {
    const until = performance.now() + (this.options.retrySeconds ?? 60) * 1000;
    for (let tries = 0; ; tries++) {
      const reply = await this.attempt(call).catch((error: unknown) => {
        if (call.signal?.aborted) throw error;
        if (performance.now() > until) throw unreachable(this.baseUrl, call, error);
        return undefined; // the connection broke: whether it was heard is unknown, so the same again
      });
      if (reply?.ok) return reply;
      const pause = pauseBefore(reply, tries);
      if (reply && (!PASSING.has(reply.status) || performance.now() + pause > until)) throw await failure(call, reply);
      await reply?.body?.cancel();
      await sleep(pause, undefined, call.signal ? { signal: call.signal } : {});
    }
  }

  private attempt(call: Call): Promise<Response> {
    const limit = AbortSignal.timeout(((call.waitSeconds ?? 0) + 30) * 1000);
    return (this.options.fetch ?? fetch)(this.baseUrl + call.path, {
      method: call.method,
      headers: {
        accept: "application/json",
        ...(this.options.apiKey ? { authorization: `Bearer ${this.options.apiKey}` } : {}),
        ...call.headers,
      },
      ...(call.body === undefined ? {} : { body: call.body }),
      signal: call.signal ? AbortSignal.any([call.signal, limit]) : limit,
    });
  }
}

export interface SubmitOptions {
  idempotencyKey?: string;
  waitSeconds?: number;
  signal?: AbortSignal;
}

export interface WaitingOptions {
  timeoutSeconds?: number;
  signal?: AbortSignal;
}

export interface JobOptions {
  waitSeconds?: number;
  signal?: AbortSignal;
}

/** Milliseconds: what the server asks for, or twice as long each time. */
function pauseBefore(reply: Response | undefined, tries: number): number {
  const asked = Number(reply?.headers.get("retry-after") ?? Number.NaN);
  if (Number.isFinite(asked)) return asked * 1000;
  return Math.min(250 * 2 ** tries, 8000) * (0.5 + Math.random() / 2);
}

function unreachable(baseUrl: string, call: Call, error: unknown): RequestFailed {
  const { message, cause } = error as Error;
  const detail = [`${call.method} ${baseUrl}${call.path} got no answer: ${message}`, cause instanceof Error ? cause.message : ""];
  return new RequestFailed(
    { status: 0, code: "unreachable", detail: detail.filter(Boolean).join(": ") },
    call.headers?.["idempotency-key"],
    undefined,
  );
}

async function failure(call: Call, reply: Response): Promise<RequestFailed> {
  const text = await reply.text();
  let problem: Problem = { status: reply.status };
  try {
    problem = { ...(JSON.parse(text) as Problem), status: reply.status };
  } catch {
    if (text) problem.detail = text.slice(0, 500);
  }
  return new RequestFailed(
    problem,
    call.headers?.["idempotency-key"],
    reply.headers.get("x-request-id") ?? undefined,
  );
}

/** The events of a text/event-stream. */
async function* events(reply: Response): AsyncGenerator<{ id?: string; data: string }> {
  let rest = "";
  for await (const chunk of reply.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const event: { id?: string; data: string } = { data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("data:")) event.data += (event.data && "\n") + line.slice(5).trimStart();
        else if (line.startsWith("id:")) event.id = line.slice(3).trim();
      }
      if (event.data) yield event;
    }
  }
}
