"""Models behind a URL: one server, replicas on Ray, load tests."""
