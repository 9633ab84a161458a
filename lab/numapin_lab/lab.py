"""Brings the whole lab to the state asked for: builds, control plane, nodes.

Level-triggered: each call compares what is with what shall be, and does only the difference.
"""

import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from numapin_api.errors import LabError
from numapin_lab import (
    binaries,
    config,
    deploy,
    disk,
    guestroot,
    host,
    load,
    nodes,
    qemu,
    state,
    wheels,
)
from numapin_lab.cache import Cache, remove_tree
from numapin_lab.controlplane import ALL, ControlPlane
from numapin_lab.images import Builder, Image
from numapin_lab.paths import LabPaths, cache_root, checkout
from numapin_lab.state import LabState, NodeState
from numapin_lab.steps import Steps


@dataclass(frozen=True, slots=True)
class Lab:
    """One checkout's lab.

    Attributes:
        steps: where to show progress.
        paths: this checkout's state.
        cache: artefacts shared by all clones.
    """

    steps: Steps = field(default_factory=Steps)
    paths: LabPaths = field(default_factory=LabPaths.of_checkout)
    cache: Cache = field(default_factory=lambda: Cache(cache_root()))

    def programs(self) -> Path:
        """Directory with kubectl, helm and the control plane's programs."""
        return binaries.ensure(self.steps, cache=self.cache)

    def control_plane(self) -> ControlPlane:
        """The lab's control plane, running or not."""
        return ControlPlane(
            self.paths.control_plane, components=ALL, programs=self.programs(), detached=True
        )

    def state(self) -> LabState | None:
        """What this lab consists of, None when it was never up."""
        return state.read(self.paths.state)

    def is_up(self) -> bool:
        """Whether control plane and all nodes run."""
        now = self.state()
        if now is None or not now.nodes:
            return False
        plane = self.control_plane()
        return all(plane.running(c) for c in ALL) and all(
            node.process.alive() for node in now.nodes.values()
        )

    def up(self, *, topology: str, count: int, kernel: str) -> None:
        """Bring the lab up; what already runs as asked is left alone.

        Args:
            topology: a key of config.TOPOLOGIES.
            count: number of nodes.
            kernel: a key of guestroot.KERNEL_PACKAGES.

        Raises:
            LabError: something is lacking or a step failed.
        """
        shape, names = config.topology(topology), config.node_names(count)
        host.prepare(self.steps, self.cache.root)
        programs = self.programs()
        root = guestroot.ensure(self.cache, self.steps, kernel=kernel, programs=programs)
        images = self.images(programs)
        kvm = qemu.kvm_works(
            _boot_file(root, "vmlinuz-*"),
            _boot_file(root, "initrd.img-*"),
            answer=self.cache.root / "kvm-probe.json",
        )
        before = self.state()
        running = dict(before.nodes) if before else {}
        with self.steps.step("control plane"):
            plane = self.control_plane()
            plane.start()
            plane.write_kubeconfig(self.paths.kubeconfig, user="admin")
            nodes.ensure_ssh_key(self.paths)
        wanted = {
            name: nodes.NodeSpec(
                name=name,
                index=index,
                topology=shape,
                memory_mib=0,
                disk=Path(),
                root=root,
                kvm=kvm,
                images={image.reference: image.digest for image in images},
            )
            for index, name in enumerate(names)
        }
        api_port = plane.ports["kube-apiserver"]
        keep = {
            name: node
            for name, node in running.items()
            if name in wanted
            and node.process.alive()
            and node.recipe == nodes.recipe(wanted[name], api_port)
        }
        for name in running.keys() - keep.keys():
            nodes.end(running[name])
        now = LabState(topology, kernel, keep)
        state.write(self.paths.state, now)
        fresh = [wanted[name] for name in names if name not in keep]
        if fresh:
            self._start(fresh, now, images, plane)
        self._forget_nodes_but(names, plane)
        self._load(images)

    def images(self, programs: Path) -> Sequence[Image]:
        """All images that nodes hold, built when the checkout has changed."""
        builder = Builder(self.cache, self.steps)
        return [
            builder.ensure_pause(programs),
            *(self._own_image(builder, component) for component in wheels.COMPONENTS),
            self._workloads(builder),
        ]

    def up_as_is(self) -> None:
        """Bring the lab up as it was last, or with the defaults when it never was."""
        now = self.state()
        self.up(
            topology=now.topology if now else config.DEFAULT_TOPOLOGY,
            count=len(now.nodes) if now and now.nodes else 1,
            kernel=now.kernel if now else guestroot.DEFAULT_KERNEL,
        )

    def deploy(self) -> None:
        """Install or upgrade numapin from the checkout; returns when it is ready.

        Raises:
            LabError: the lab is not up, or a step failed.
        """
        now = self.state()
        if now is None or not self.is_up():
            raise LabError("the lab is not up: lab/lab up")
        deploy.deploy(
            self.steps,
            programs=self.programs(),
            kubeconfig=self.paths.kubeconfig,
            images=self.load_images(),
            nodes=tuple(now.nodes),
            scratch=self.paths.root,
        )

    def clean(self, *, with_cache: bool) -> None:
        """End the lab and remove its state.

        Args:
            with_cache: also what all clones share; the next `up` starts from nothing.
        """
        self.down()
        with self.steps.step(f"remove {self.paths.root}"):
            remove_tree(self.paths.root)
        if with_cache:
            with self.steps.step(f"remove {self.cache.root}"):
                remove_tree(self.cache.root)

    def load_images(self) -> Sequence[Image]:
        """Build all images and put the changed ones into the running nodes."""
        images = self.images(self.programs())
        self._load(images)
        return images

    def _own_image(self, builder: Builder, component: str) -> Image:
        def stage(context: Path) -> None:
            wheels.stage(component, context, cache=self.cache, steps=self.steps)

        return builder.ensure(
            f"localhost/numapin-{component}:lab",
            dockerfile=checkout() / component / "Dockerfile",
            inputs=wheels.inputs(component),
            stage=stage,
        )

    def _workloads(self, builder: Builder) -> Image:
        folder = checkout() / "lab" / "workloads"

        def stage(context: Path) -> None:
            shutil.copytree(folder, context, dirs_exist_ok=True)

        return builder.ensure(
            "localhost/numapin-workloads:lab",
            dockerfile=folder / "Dockerfile",
            inputs={},
            stage=stage,
        )

    def _load(self, images: Sequence[Image]) -> None:
        """Put changed images into the running nodes; note what each then holds."""
        now = self.state()
        if now is None:
            return
        held = dict(now.nodes)
        for name, node in now.nodes.items():
            for image in load.changed(images, dict(node.images)):
                with self.steps.step(f"{image.reference} into {name}"):
                    load.load(image, node, self.paths)
                held[name] = replace(
                    held[name], images={**held[name].images, image.reference: image.digest}
                )
                state.write(self.paths.state, replace(now, nodes=held))

    def down(self) -> None:
        """End nodes and control plane; what was built stays."""
        now = self.state()
        if now is not None:
            with self.steps.step("nodes end"), ThreadPoolExecutor() as pool:
                list(pool.map(nodes.end, now.nodes.values()))
            self.paths.state.unlink()
        if self.paths.control_plane.exists():
            with self.steps.step("control plane ends"):
                self.control_plane().stop()

    def node(self, name: str) -> NodeState:
        """One node of the running lab.

        Raises:
            LabError: the lab is not up, or has no such node.
        """
        now = self.state()
        known = list(now.nodes) if now else []
        if now is None or name not in now.nodes:
            raise LabError(
                f"the lab has no node {name!r}; it has {', '.join(known) or 'none: lab/lab up'}"
            )
        return now.nodes[name]

    def _start(
        self,
        fresh: Sequence[nodes.NodeSpec],
        now: LabState,
        images: Sequence[Image],
        plane: ControlPlane,
    ) -> None:
        root_disk = disk.ensure(self.cache, self.steps, root=fresh[0].root, images=images)
        used = sum(node.memory_mib for node in now.nodes.values())
        memory = config.memory_mib(len(now.nodes) + len(fresh), host.available_mib() + used)
        started = dict(now.nodes)
        how = "KVM" if fresh[0].kvm else "emulated"
        with self.steps.step(f"{', '.join(s.name for s in fresh)}: boot until Ready ({how})"):
            try:
                for spec in fresh:
                    full = replace(spec, memory_mib=memory[spec.index], disk=root_disk)
                    started[spec.name] = nodes.start(full, self.paths, plane)
                    state.write(self.paths.state, replace(now, nodes=started))
                programs = self.programs()
                with ThreadPoolExecutor() as pool:
                    list(
                        pool.map(
                            lambda s: nodes.await_ready(
                                s.name, started[s.name], self.paths, plane, programs
                            ),
                            fresh,
                        )
                    )
            except BaseException:
                # Also on Ctrl-C: a half-started node is of no use to anybody.
                for spec in fresh:
                    if spec.name in started:
                        nodes.end(started[spec.name])
                state.write(self.paths.state, now)
                raise

    def _forget_nodes_but(self, names: Sequence[str], plane: ControlPlane) -> None:
        """Remove Node objects of nodes that this lab no longer has."""
        kubectl: list[Path | str] = [self.programs() / "kubectl", "--kubeconfig", plane.kubeconfig]
        listed = subprocess.run(
            [*kubectl, "get", "nodes", "-o", "name"], capture_output=True, text=True, check=True
        )
        gone = set(listed.stdout.split()) - {f"node/{name}" for name in names}
        if gone:
            subprocess.run([*kubectl, "delete", *sorted(gone)], capture_output=True, check=True)


def _boot_file(root: Path, pattern: str) -> Path:
    found = sorted((root / "boot").glob(pattern))
    if not found:
        raise LabError(f"{root}/boot holds no {pattern}")
    return found[-1]
