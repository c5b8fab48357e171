"""The crawler as a service: jobs, runs and schedules behind an HTTP API."""
