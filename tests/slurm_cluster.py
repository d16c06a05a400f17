"""A Slurm of one node with two pretended GPUs; nothing outside of one folder is written."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "unshare", "nsenter")
PLACE = Path("/etc/slurm")
"""Where Slurm's programs look for its settings; Snakemake hands no other place on to its jobs."""
MEGABYTES = 20_000


def why_not() -> str:
    """Return why no Slurm can be started here; nothing if one can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if absent:
        return f"there is no {', '.join(absent)}: apt install slurm-wlm munge"
    if os.geteuid() != 0:
        return "slurmd is to be started by root"
    probe = ["unshare", "--mount", "mount", "--bind", "/tmp", str(PLACE)]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        return f"no other folder can be mounted at {PLACE}"
    return ""


class Cluster:
    """The running Slurm: commands are run where its settings are seen."""

    def __init__(self, holder: int, environment: dict[str, str]) -> None:
        self._inside = ["nsenter", f"--mount=/proc/{holder}/ns/mnt"]
        self._environment = {**environment, "PATH": f"{environment['PATH']}:/usr/sbin:/sbin"}

    def start(self, *command: str, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a command; what it says goes to a file."""
        inside = [*self._inside, "env", f"--chdir={cwd}", *command]
        with log.open("wb") as file:
            return subprocess.Popen(
                inside, env=self._environment, stdout=file, stderr=subprocess.STDOUT
            )

    def ask(self, *command: str) -> str:
        """Return what a command says."""
        inside = [*self._inside, *command]
        return subprocess.run(
            inside, env=self._environment, capture_output=True, text=True, check=True
        ).stdout


@contextmanager
def running(folder: Path, environment: dict[str, str]) -> Iterator[Cluster]:
    """Start a Slurm that keeps all in a folder, for commands in an environment, and end it."""
    etc = folder / "etc"
    for place in (etc, folder / "state", folder / "spool"):
        place.mkdir(parents=True)
    (etc / "munge.key").write_bytes(os.urandom(128))
    (etc / "munge.key").chmod(0o400)
    (etc / "slurm.conf").write_text(settings(folder, *free_ports(2)))
    # Two devices that every machine has.
    (etc / "gres.conf").write_text("Name=gpu File=/dev/null,/dev/zero\n")
    mounted = f"mount --bind {etc} {PLACE} && exec sleep infinity"
    holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", mounted])
    try:
        cluster = Cluster(holder.pid, environment)
        wait_for(lambda: "slurm.conf" in cluster.ask("ls", str(PLACE)))
        options = [f"--socket={folder}/munge.socket", f"--key-file={etc}/munge.key"]
        for kind in ("pid", "log", "seed"):
            options.append(f"--{kind}-file={folder}/munged.{kind}")
        cluster.ask("munged", "--force", *options)
        cluster.ask("slurmctld")
        cluster.ask("slurmd", "-N", "node")
        wait_for(lambda: cluster.ask("sinfo", "--noheader", "--format=%T").strip() == "idle")
        yield cluster
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
            with suppress(OSError, ValueError):
                os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGTERM)
        holder.kill()
        holder.wait()


def settings(folder: Path, controller_port: int, node_port: int) -> str:
    """Return slurm.conf."""
    host = socket.gethostname()
    return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
ReturnToService=2
SchedulerParameters=batch_sched_delay=1,sched_min_interval=200000
KillWait=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
GresTypes=gpu
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={MEGABYTES} Gres=gpu:2
PartitionName=gpu Nodes=node Default=YES
"""


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = []
    for server in sockets:
        ports.append(server.getsockname()[1])
        server.close()
    return ports


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition holds, for this long at most; until then commands may fail."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(subprocess.CalledProcessError):
            if condition():
                return
        time.sleep(0.1)
    raise TimeoutError(f"not so after {seconds} seconds")
