import type { Manifest } from "./types.js";

/** The kinds of jobs that are built. */
export type Model = Manifest["model"];

export type ManifestOf<M extends Model> = Extract<Manifest, { model: M }>;

export type InputOf<M extends Model> = ManifestOf<M>["input"];

/** What may stand in a manifest beside its input. The version is ours to write. */
export type Extras = Omit<ManifestOf<"flux-dev">, "version" | "model" | "input">;

const ID = /^[a-z0-9][a-z0-9_-]{0,95}$/;
const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** Throws RangeError unless `id` can be a job's id, which is also its idempotency key. */
export function checkId(id: string): string {
  if (!ID.test(id)) throw new RangeError(`${JSON.stringify(id)} is no job id: an id matches ${ID.source}`);
  return id;
}

/** The key of a waiting job. It says what scheduling needs, so that no body has to be read for it. */
export function inboxKey(id: string, priority: number, tenant: string, model: string): string {
  checkId(id);
  if (!Number.isInteger(priority) || priority < 0 || priority > 9) {
    throw new RangeError(`priority is ${priority}; it is a whole number from 0 to 9, higher first`);
  }
  if (!NAME.test(tenant)) throw new RangeError(`${JSON.stringify(tenant)} is no tenant: one matches ${NAME.source}`);
  return `inbox/${9 - priority}.${tenant}.${model}.${id}.json`;
}

/** JSON with sorted members and without those that are undefined: the same job gives the same bytes. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    each !== null && typeof each === "object" && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}
