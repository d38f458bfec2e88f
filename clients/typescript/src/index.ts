export { BucketProducer, pipelineS3, type Submitted, type WaitOptions } from "./bucket.js";
export { IdConflict, JobFailed, PipelineError, RequestFailed, WaitedTooLong, type Problem } from "./errors.js";
export { PipelineClient, type Body, type ClientOptions, type Estimate, type Job, type Picture } from "./http.js";
export { canonical, inboxKey, type Extras, type InputOf, type Model } from "./manifest.js";
export { PipelineJobRunner, type JobStatus, type Options, type RunPodJobRunner, type Transport } from "./runpod.js";
export { overBucket, overHttp } from "./transports.js";
export type * from "./types.js";
