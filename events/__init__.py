"""Analytics: the catalogue of events, the form in which they are kept until they are confirmed, and
their delivery to PostHog or a file. It knows jobs only by what it is told of them: it reads no
bucket, and never delays a job."""
