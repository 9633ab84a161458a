"""Brings the whole lab to the state asked for: builds, control plane, nodes.

Level-triggered: each call compares what is with what shall be, and does only the difference.
"""

import fcntl
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from numapin_api.errors import LabError
from numapin_lab import (
    binaries,
    catalog,
    config,
    deploy,
    disk,
    earlier,
    guestroot,
    host,
    join,
    kernels,
    load,
    nodes,
    qemu,
    state,
    wheels,
)
from numapin_lab.cache import Cache, remove_tree
from numapin_lab.config import Topology
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
        """Directory with kubectl, helm and the control plane's programs, as the lab runs them."""
        now = self.state()
        kubernetes = now.kubernetes if now else binaries.DEFAULT_KUBERNETES
        return binaries.ensure(self.steps, cache=self.cache, kubernetes=kubernetes)

    def control_plane(self) -> ControlPlane:
        """The lab's control plane, running or not."""
        return self._control_plane(None)

    def _control_plane(self, programs: Path | None) -> ControlPlane:
        return ControlPlane(
            self.paths.control_plane, components=ALL, programs=programs, detached=True
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

    def up(self, *, topology: str, count: int, kernel: str, kubernetes: str | None = None) -> None:
        """Bring the lab up; what already runs as asked is left alone.

        Args:
            topology: a key of config.TOPOLOGIES.
            count: number of nodes.
            kernel: a key of kernels.KERNELS.
            kubernetes: a key of binaries.VERSIONS; None is as it is, else the default.

        Raises:
            LabError: something is lacking or a step failed.
        """
        shape, names = config.topology(topology), config.node_names(count)
        with self._alone():
            now = self.state()
            wanted = kubernetes or (now.kubernetes if now else binaries.DEFAULT_KUBERNETES)
            self._up(shape, names, kernel, wanted)

    def _up(self, shape: Topology, names: Sequence[str], kernel: str, kubernetes: str) -> None:
        host.prepare(self.steps, self.cache.root)
        programs = binaries.ensure(self.steps, cache=self.cache, kubernetes=kubernetes)
        self._end_other_version(kubernetes)
        root = guestroot.ensure(self.cache, self.steps, kernel=kernel, programs=programs)
        images = self.images(programs)
        kvm = qemu.kvm_works(
            _boot_file(root, "vmlinuz-*"),
            _boot_file(root, "initrd.img-*"),
            answer=self.cache.root / "kvm-probe.json",
            steps=self.steps,
        )
        plane = self._control_plane(programs)
        had_plane = any(plane.running(component) for component in ALL)
        try:
            with self.steps.step("control plane"):
                plane.start()
                plane.write_kubeconfig(self.paths.kubeconfig, user="admin")
                nodes.ensure_ssh_key(self.paths)
            wanted = [
                nodes.NodeSpec(
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
            ]
            self._nodes(wanted, LabState(shape.name, kernel, kubernetes), images, plane)
        except BaseException:
            # Also on Ctrl-C: what this call has started is of no use without the rest.
            if not had_plane:
                plane.stop()
            raise
        self._load(images)

    def _nodes(
        self,
        wanted: Sequence[nodes.NodeSpec],
        now: LabState,
        images: Sequence[Image],
        plane: ControlPlane,
    ) -> None:
        """End nodes that are not wanted as they are, start those that are missing."""
        before = self.state()
        running = dict(before.nodes) if before else {}
        recipes = {w.name: nodes.recipe(w, plane.ports["kube-apiserver"]) for w in wanted}
        keep = {
            name: node
            for name, node in running.items()
            if node.process.alive() and node.recipe == recipes.get(name)
        }
        for name in running.keys() - keep.keys():
            nodes.end(running[name])
        now = replace(now, nodes=keep)
        state.write(self.paths.state, now)
        fresh = [spec for spec in wanted if spec.name not in keep]
        if fresh:
            self._start(fresh, now, images, plane)
        join.await_ready(keep, self.paths)
        join.forget_all_but(recipes, self.paths.kubeconfig)

    def _end_other_version(self, kubernetes: str) -> None:
        """End a lab of another version of Kubernetes and drop its data.

        An API server goes up by one minor version at a time, and never down.
        """
        home = self.paths.control_plane
        mark = home / "kubernetes"
        if home.exists():
            # Without a mark it was made before there was a choice.
            before = mark.read_text() if mark.exists() else binaries.DEFAULT_KUBERNETES
            if before != kubernetes:
                self._down()
                with self.steps.step(f"data of Kubernetes {before} is dropped"):
                    remove_tree(home)
        home.mkdir(parents=True, exist_ok=True)
        mark.write_text(kubernetes)

    def images(self, programs: Path) -> Sequence[Image]:
        """All images that nodes hold, built where the checkout has changed."""
        return catalog.ensure_all(Builder(self.cache, self.steps), programs=programs)

    def up_as_is(self) -> None:
        """Bring the lab up as it was last, or with the defaults when it never was."""
        now = self.state()
        self.up(
            topology=now.topology if now else config.DEFAULT_TOPOLOGY,
            count=len(now.nodes) if now and now.nodes else 1,
            kernel=now.kernel if now else kernels.DEFAULT_KERNEL,
        )

    def deploy(self) -> None:
        """Install or upgrade numapin from the checkout; returns when it is ready.

        Raises:
            LabError: the lab is not up, or a step failed.
        """
        now = self.state()
        if now is None or not self.is_up():
            raise LabError("the lab is not up: lab/lab up")
        with self._alone():
            deploy.deploy(
                self.steps,
                programs=self.programs(),
                kubeconfig=self.paths.kubeconfig,
                images=self._load_images(),
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
        with self._alone():
            return self._load_images()

    def images_twice(self) -> Iterator[tuple[Image, Image]]:
        """Agent's and operator's image, each built two times without cached layers.

        Raises:
            LabError: a build failed.
        """
        host.prepare(self.steps, self.cache.root)
        builder = Builder(self.cache, self.steps)
        for component in wheels.COMPONENTS:
            with tempfile.TemporaryDirectory() as scratch:
                yield catalog.build_twice(builder, component, scratch=Path(scratch))

    def load_earlier(self, commit: str, *, tag: str, into: Path) -> Path:
        """Put agent and operator of another commit into the running nodes.

        Args:
            commit: as git names it.
            tag: of the images.
            into: an empty directory for that commit's source tree.

        Returns:
            That commit's chart.

        Raises:
            LabError: no such commit, or a build failed.
        """
        earlier.export(checkout(), commit, into=into)
        with self._alone():
            self._load(catalog.ensure_earlier(Builder(self.cache, self.steps), root=into, tag=tag))
        return into / "charts" / "numapin"

    def _load_images(self) -> Sequence[Image]:
        images = self.images(self.programs())
        self._load(images)
        return images

    def _load(self, images: Sequence[Image]) -> None:
        """Put changed images into the running nodes; note what each then holds."""
        now = self.state()
        if now is None:
            return
        held = dict(now.nodes)
        for name, node in now.nodes.items():
            new = load.changed(images, dict(node.images))
            if not new:
                continue
            with self.steps.step(f"{', '.join(image.reference for image in new)} into {name}"):
                load.load(new, node, self.paths)
            digests = {image.reference: image.digest for image in new}
            held[name] = replace(node, images={**node.images, **digests})
            state.write(self.paths.state, replace(now, nodes=held))

    def down(self) -> None:
        """End nodes and control plane; what was built stays."""
        if self.paths.root.exists():
            with self._alone():
                self._down()

    def _down(self) -> None:
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
                join.await_ready({s.name: started[s.name] for s in fresh}, self.paths)
            except BaseException:
                # Also on Ctrl-C: a half-started node is of no use to anybody.
                for spec in fresh:
                    if spec.name in started:
                        nodes.end(started[spec.name])
                state.write(self.paths.state, now)
                raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one command at a time change this checkout's lab."""
        self.paths.root.mkdir(parents=True, exist_ok=True)
        with (self.paths.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with self.steps.step("another lab/lab works on this checkout: wait for it"):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _boot_file(root: Path, pattern: str) -> Path:
    found = sorted((root / "boot").glob(pattern))
    if not found:
        raise LabError(f"{root}/boot holds no {pattern}")
    return found[-1]
