"""The one command of the lab: `lab/lab`.

Thin: every subcommand calls one method. Progress goes to stderr, data to stdout.
"""

import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click
from rich.console import Console

from numapin_api.errors import LabError, NumapinError
from numapin_lab import binaries, compatibility, config, kernels, nodes, show, wheels
from numapin_lab.lab import Lab
from numapin_lab.steps import Steps

_PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """A two-socket Kubernetes on this machine, to try, test and measure numapin."""
    context.obj = Lab(Steps(Console(stderr=True)))


@main.command()
@click.option(
    "--topology",
    type=click.Choice(sorted(config.TOPOLOGIES)),
    help="Machine to imitate (default: as it is, else 2s).",
)
@click.option(
    "--nodes",
    "count",
    type=click.IntRange(1, config.MAX_NODES),
    help="Number of nodes (default: as it is, else 1).",
)
@click.option(
    "--kernel",
    type=click.Choice(list(kernels.KERNELS)),
    help=f"Kernel of the nodes (default: as it is, else {kernels.DEFAULT_KERNEL}).",
)
@click.option(
    "--kubernetes",
    type=click.Choice(list(binaries.VERSIONS)),
    help=f"Version of control plane and kubelets (default: as it is, else "
    f"{binaries.DEFAULT_KUBERNETES}); another one than before begins with an empty cluster.",
)
@click.pass_obj
def up(
    lab: Lab, topology: str | None, count: int | None, kernel: str | None, kubernetes: str | None
) -> None:
    """Build what is missing, start control plane and nodes, wait until they are Ready."""
    now = lab.state()
    lab.up(
        topology=topology or (now.topology if now else config.DEFAULT_TOPOLOGY),
        count=(len(now.nodes) or 1 if now else 1) if count is None else count,
        kernel=kernel or (now.kernel if now else kernels.DEFAULT_KERNEL),
        kubernetes=kubernetes,
    )
    click.echo(f"export KUBECONFIG={lab.paths.kubeconfig}")


@main.command()
@click.option(
    "--sbom",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for a list of what is in agent's and operator's image (CycloneDX JSON).",
)
@click.option(
    "--check", is_flag=True, help="Build agent and operator twice and compare them; no nodes."
)
@click.pass_obj
def images(lab: Lab, sbom: Path | None, *, check: bool) -> None:
    """Build the images from the checkout; put the changed ones into the running nodes."""
    if check:
        for first, second in lab.images_twice():
            if first.digest != second.digest:
                raise LabError(f"{first.reference} {first.digest} differs from {second.digest}")
            click.echo(f"{first.reference} twice {first.digest}")
        return
    # The others are the lab's own, and made of nothing that is released.
    released = {f"localhost/numapin-{component}:lab" for component in wheels.COMPONENTS}
    for image in lab.load_images():
        click.echo(f"{image.reference} {image.digest}")
        if sbom is not None and image.reference in released:
            # Only here: it brings a library that no other command needs.
            from numapin_lab import bill  # noqa: PLC0415

            click.echo(bill.write(image, sbom))


@main.command()
@click.pass_obj
def deploy(lab: Lab) -> None:
    """Install or upgrade numapin from the checkout with helm; wait until it is ready."""
    lab.deploy()


@main.command()
@click.option(
    "--seconds",
    type=click.IntRange(10, 3600),
    default=60,
    show_default=True,
    help="Length of the measurement before and after.",
)
@click.option(
    "--dashboard",
    is_flag=True,
    help="Run a Prometheus beside it, and draw what the Grafana dashboard shows.",
)
@click.pass_obj
def demo(lab: Lab, seconds: int, *, dashboard: bool) -> None:
    """Show real workloads before and after they are pinned; exit status 1 when it fails."""
    # Only here: it brings matplotlib and kubernetes, seconds that no other command needs.
    from numapin_lab.demo import command  # noqa: PLC0415

    sys.exit(command.run(lab, seconds=seconds, dashboard=dashboard))


@main.command("demo-latency")
@click.option(
    "--seconds",
    type=click.IntRange(10, 600),
    default=60,
    show_default=True,
    help="Length of each measurement and each trace.",
)
@click.option(
    "--services",
    type=click.IntRange(1, 65_536),
    default=20_000,
    show_default=True,
    help="Virtual services of IPVS.",
)
@click.pass_obj
def demo_latency(lab: Lab, seconds: int, services: int) -> None:
    """Show redis slow now and then, have numapin name the culprit, mend it.

    Nodes run Linux 6.1 for it, which replaces a running lab of another kernel. Exit status 1
    when a criterion is not met.
    """
    # Only here, as above.
    from numapin_lab.latency import command  # noqa: PLC0415

    sys.exit(command.run(lab, seconds=seconds, count=services))


@main.command()
@click.option(
    "--kubernetes",
    "versions",
    multiple=True,
    type=click.Choice(list(binaries.VERSIONS)),
    help="Version to test with; may be given again (default: all; for e2e oldest and newest).",
)
@click.option(
    "--kernel",
    "on",
    multiple=True,
    type=click.Choice(list(kernels.KERNELS)),
    help="Kernel to test on; may be given again (default: all).",
)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    type=click.Choice(compatibility.SUITES),
    default=compatibility.SUITES,
    show_default=True,
)
@click.pass_obj
def matrix(lab: Lab, versions: Sequence[str], suites: Sequence[str], on: Sequence[str]) -> None:
    """Test against versions of Kubernetes and on kernels; write docs/compatibility.md.

    Exit status 1 when a test failed or a probe gave no answer. All suites but integration
    replace a running lab.
    """
    # Only here: it is needed by no other command.
    from numapin_lab import matrix as runner  # noqa: PLC0415

    if not runner.run(lab, versions=versions, suites=suites, on=on, today=_today):
        sys.exit(1)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--architecture",
    type=click.Choice(list(wheels.ARCHITECTURES)),
    default=wheels.DEFAULT_ARCHITECTURE,
    show_default=True,
)
@click.pass_obj
def stage(lab: Lab, directory: Path, architecture: str) -> None:
    """Make build contexts DIRECTORY/operator and DIRECTORY/agent for any image builder."""
    for component in wheels.COMPONENTS:
        context = directory / component
        if context.exists():
            raise LabError(f"{context} is there already: remove it, or give another directory")
        context.mkdir(parents=True)
        wheels.stage(
            component, context, cache=lab.cache, steps=lab.steps, architecture=architecture
        )
        click.echo(f"{component}/Dockerfile {context}")


@main.command()
@click.pass_obj
def status(lab: Lab) -> None:
    """Show what runs; exit status 1 when something does not."""
    if not show.status(lab, Console()):
        sys.exit(1)


@main.command()
@click.argument("component", required=False)
@click.pass_obj
def logs(lab: Lab, component: str | None) -> None:
    """Print the log of a COMPONENT; without one, what components there are."""
    if component is None:
        click.echo("\n".join(show.components(lab.state())))
        return
    _become(show.log_command(lab, component))


@main.command()
@click.option("--cache", "with_cache", is_flag=True, help="Also what all clones share.")
@click.pass_obj
def clean(lab: Lab, *, with_cache: bool) -> None:
    """End the lab and remove its state."""
    lab.clean(with_cache=with_cache)


@main.command()
@click.pass_obj
def down(lab: Lab) -> None:
    """End nodes and control plane."""
    lab.down()


@main.command(context_settings=_PASS_THROUGH)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def kubectl(lab: Lab, args: Sequence[str]) -> None:
    """Run kubectl against the lab."""
    _become_client(lab, "kubectl", args)


@main.command(context_settings=_PASS_THROUGH)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def helm(lab: Lab, args: Sequence[str]) -> None:
    """Run helm against the lab."""
    _become_client(lab, "helm", args)


@main.command(context_settings=_PASS_THROUGH)
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(lab: Lab, node: str, command: Sequence[str]) -> None:
    """Run a command in a node as root, or a shell."""
    _become(nodes.ssh(lab.node(node), lab.paths, list(command)))


def _today() -> date:
    return datetime.now(UTC).date()


def _become_client(lab: Lab, program: str, args: Sequence[str]) -> None:
    if not lab.control_plane().running("kube-apiserver"):
        raise LabError("the lab is not up: lab/lab up")
    os.environ["KUBECONFIG"] = str(lab.paths.kubeconfig)
    _become([str(lab.programs() / program), *args])


def _become(argv: Sequence[str]) -> None:
    """Replace this process, so that streams, signals and exit status are the program's own."""
    sys.stdout.flush()
    os.execvp(argv[0], list(argv))


def run() -> None:
    """Entry point: errors that are told on purpose are shown without a traceback."""
    # Like Ctrl-C: what a step has begun is undone, and no child outlives us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(prog_name="lab/lab")
    except NumapinError as error:
        click.echo(f"lab/lab: {error}", err=True)
        sys.exit(1)
