import type { ErrorInfo, Result } from "./types.js";

/**
 * Base of everything this package throws, apart from RangeError for an argument that cannot be right,
 * the reason of an aborted signal, and what the S3 client throws.
 */
export class PipelineError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** The id was used with another manifest. Nothing was overwritten and nothing was started. */
export class IdConflict extends PipelineError {
  constructor(readonly id: string) {
    super(`the id ${id} was used with another manifest`);
  }
}

/** The job did not end in the time given. It goes on: ask again with the same id. */
export class WaitedTooLong extends PipelineError {
  constructor(readonly id: string, readonly seconds: number) {
    super(`job ${id} did not end within ${seconds} s`);
  }
}

/** The job ended, and not well. `result.error` says why. */
export class JobFailed extends PipelineError {
  readonly error: ErrorInfo | null;

  constructor(readonly result: Result) {
    super(`job ${result.id} ${result.status}: ${result.error?.message ?? "no reason given"}`);
    this.error = result.error ?? null;
  }
}

/** What the server said no to. The members are those of its problem details (RFC 9457). */
export interface Problem {
  /** 0 when there was no answer: whether the request arrived is unknown. */
  status: number;
  code?: string;
  detail?: string;
  field?: string;
  value?: unknown;
  hint?: string;
  instance?: string;
}

/** The server refused the request, or could not be had. */
export class RequestFailed extends PipelineError {
  constructor(
    readonly problem: Problem,
    /** Of the call: repeating it with this key cannot start a second job. */
    readonly idempotencyKey: string | undefined,
    readonly requestId: string | undefined,
  ) {
    super([problem.detail ?? `the server answered ${problem.status}`, problem.hint].filter(Boolean).join(". "));
  }

  get code(): string | undefined {
    return this.problem.code;
  }
}
