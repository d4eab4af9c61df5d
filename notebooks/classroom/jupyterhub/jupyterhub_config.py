"""JupyterHub with one container a student (DockerSpawner), for one server in a room.

Not run by us; the names are those of JupyterHub 5 and DockerSpawner 14. Put it beside a CLASS
folder, build the Dockerfile as ``open-llm-lab``, and read JupyterHub's own notes on HTTPS first.
"""

import os

c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.JupyterHub.hub_ip = "0.0.0.0"  # containers must reach it; the proxy alone faces the room
c.DockerSpawner.image = "open-llm-lab"
c.DockerSpawner.network_name = os.environ.get("DOCKER_NETWORK", "jupyterhub")
c.DockerSpawner.remove = True
c.DockerSpawner.volumes = {
    "lab-{username}": "/home/jovyan/work",  # a student's own, kept
    os.environ.get("LABKIT_BUNDLE_FOLDER", "/srv/bundle"): {"bind": "/bundle", "mode": "ro"},
}
c.DockerSpawner.notebook_dir = "/home/jovyan/work"
c.DockerSpawner.environment = {"LABKIT_BUNDLE": "/bundle"}

# More than twice what the largest lesson takes: people leave a second notebook open.
c.DockerSpawner.mem_limit = "4G"
c.DockerSpawner.cpu_limit = 2.0

# Nobody but the names on the list; choose an authenticator before anyone else can reach this.
c.Authenticator.allowed_users = set(os.environ.get("CLASS_STUDENTS", "").split())
c.Authenticator.admin_users = set(os.environ.get("CLASS_TEACHERS", "").split())
