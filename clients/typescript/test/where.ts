// The pipeline that the tests run against, as tests/clients/test_typescript.py names it.
import { BucketProducer, PipelineClient, pipelineS3 } from "../src/index.js";

function given(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run pytest tests/clients/test_typescript.py`);
  return value;
}

export const producer = (tenant?: string): BucketProducer =>
  new BucketProducer(
    pipelineS3({
      endpoint: given("AWS_ENDPOINT_URL"),
      region: given("AWS_DEFAULT_REGION"),
      credentials: {
        accessKeyId: given("AWS_ACCESS_KEY_ID"),
        secretAccessKey: given("AWS_SECRET_ACCESS_KEY"),
      },
    }),
    given("RYLA_BUCKET"),
    ...(tenant ? [tenant] : []),
  );

export const client = (): PipelineClient => new PipelineClient(given("RYLA_CLIENT_URL"), { apiKey: given("RYLA_CLIENT_KEY") });

export const SMALL = { width: 256, height: 256, steps: 2 };
export const SOON = { pollSeconds: 0.2, timeoutSeconds: 60 };

/** A PNG of one pixel is no face, but it is a picture. */
export const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
