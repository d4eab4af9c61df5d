"""Replicas and sweeps on Ray: a cluster on this computer, or one that is there."""

from .launch import (
    Nodes,
    join_cluster,
    need_ray,
    replica_processes,
    serve_replicas,
    start_cluster,
    sweep,
)

__all__ = [
    "Nodes",
    "join_cluster",
    "need_ray",
    "replica_processes",
    "serve_replicas",
    "start_cluster",
    "sweep",
]
