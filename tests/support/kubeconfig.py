"""A kubeconfig for the command line, as people have one."""

from pathlib import Path

import yaml

from numapin_lab.controlplane import ControlPlane


def kubeconfig(path: Path, apiserver: ControlPlane, *, token: str, namespace: str) -> Path:
    """Write a kubeconfig with one context, for the test's API server."""
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [
                    {
                        "name": "test",
                        "context": {"cluster": "test", "user": "test", "namespace": namespace},
                    }
                ],
                "clusters": [
                    {
                        "name": "test",
                        "cluster": {
                            "server": apiserver.url,
                            "certificate-authority": str(apiserver.ca),
                        },
                    }
                ],
                "users": [{"name": "test", "user": {"token": token}}],
            }
        )
    )
    return path
