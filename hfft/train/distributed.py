"""The processes of a run, on one machine or several: how they connect, what each host's disk has, and errors if one is lost."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import psutil
import torch
import torch.distributed
from accelerate.utils import broadcast_object_list, gather_object
from transformers import TrainingArguments

from hfft.errors import BadInput, RunError
from hfft.runs import checkpoint
from hfft.runs.folder import RunFolder
from hfft.runs.lock import lock_folder
from hfft.wording import first_line, listing

_LOST = re.compile(
    r"gloo|connection (closed|reset|refused)|broken pipe|timed out|socket ?timeout|heartbeat|nccl|store\b",
    re.IGNORECASE,
)
START = 300.0  # seconds that processes wait for the start of all, which takes imports and the check of the recipe
LONGEST = 1800.0  # seconds that they wait for each other later: transformers' default of `ddp_timeout`
_MET: list[Any] = []  # the connection over which they met


def size() -> int:
    """The number of processes of the launch."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(use_cpu: bool, timeout: float | None) -> None:
    """Connect to the other processes of a launch: wait until all have started, then, on CPU, set up their group.

    On GPUs transformers sets it up. On CPU transformers 5.23 does not pass `ddp_timeout` to Gloo, which would wait half an
    hour for a host whose cable was pulled; and Gloo uses the address that the host's own name resolves to, often not that
    of a real interface.

    Args:
        timeout: seconds that a process waits for the others (`training.ddp_timeout`); if None, `START` for their start
            and `LONGEST` later, when one may have to wait until another has prepared the data.

    Raises:
        RunError: the others do not start in time.
    """
    if size() < 2 or torch.distributed.is_initialized():
        return
    meet(timeout or START)
    if not (use_cpu or not torch.cuda.is_available()):
        return
    if "GLOO_SOCKET_IFNAME" not in os.environ and (name := interface_to(main_host())):
        os.environ["GLOO_SOCKET_IFNAME"] = name
    try:
        torch.distributed.init_process_group("gloo", timeout=datetime.timedelta(seconds=timeout or LONGEST))
    except (RuntimeError, ValueError) as error:  # torch's store and timeout errors are RuntimeErrors
        raise unreached(f"could not reach the others ({first_line(error):.120})", timeout or LONGEST) from error


def meet(limit: float) -> None:
    """Wait until every process of the launch has started, so that one that died before is not waited for at length.

    Raises:
        RunError: some have not after `limit` seconds.
    """
    rank, wait = os.environ.get("RANK", "0"), datetime.timedelta(seconds=limit)
    started: list[str] = []
    try:
        if rank != "0" or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            knock(limit)
        store, *_ = next(torch.distributed.rendezvous("env://", timeout=wait))
        _MET.append(store)  # the group is set up through the same connection
        everyone, store = [str(i) for i in range(size())], torch.distributed.PrefixStore("hfft", store)
        store.set(rank, "")
        try:
            store.wait(everyone, wait)
        except RuntimeError:
            started = [other for other in everyone if store.check([other])]
            raise
    except (OSError, RuntimeError, ValueError) as error:
        missing = [str(i) for i in range(size()) if str(i) not in started]
        who = "the others have" if not started else f"process {listing(missing)} has"
        raise unreached(f"{who} not started ({first_line(error):.120})", limit) from error


def knock(limit: float) -> None:
    """Wait until the address at which the processes meet accepts connections: torch prints pages if it does not.

    Raises:
        OSError: it does not within `limit` seconds.
    """
    end = time.monotonic() + limit
    while True:
        try:
            socket.create_connection((main_host(), int(os.environ["MASTER_PORT"])), timeout=limit).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def unreached(what: str, limit: float) -> RunError:
    """The error of a start that failed, with what to look at."""
    return RunError(
        f"process {os.environ.get('RANK', '?')} of {size()}: {what} at {main_host()}:{os.environ.get('MASTER_PORT', '?')} "
        f"within {limit:g} s (training.ddp_timeout); look at what the other hosts have printed, start all of them with the "
        f"same --main_process_ip and --main_process_port, and check that the port is open"
    )


def main_host() -> str:
    """The address at which the processes meet."""
    return os.environ.get("MASTER_ADDR", "127.0.0.1")


def interface_to(host: str) -> str | None:
    """The network interface by which this machine reaches a host; None if it cannot be determined."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # sends nothing: the kernel only picks the route
        own = probe.getsockname()[0]
        interfaces = psutil.net_if_addrs().items()
        return next((name for name, found in interfaces for address in found if address.address == own), None)
    return None


def own_disks(arguments: TrainingArguments, folder: RunFolder) -> bool:
    """Whether hosts have separate run folders, on separate disks; if so, each host stores the checkpoints.

    The first process creates a file, and the others look for it.
    """
    if arguments.world_size == 1:
        return False
    name = [f".host-{os.getpid()}"]
    broadcast_object_list(name)
    probe = folder.path / name[0]
    if arguments.process_index == 0:
        probe.touch()
    gather_object([None])  # it is there from now on
    seen = gather_object([probe.is_file()])
    if arguments.process_index == 0:
        probe.unlink(missing_ok=True)
    arguments.save_on_each_node = arguments.save_on_each_node or not all(seen)
    return not all(seen)


def begin(arguments: TrainingArguments, folder: RunFolder, state: str, fresh: bool, held: contextlib.ExitStack) -> None:
    """Prepare the other hosts' run folders to match the first host's.

    Args:
        held: holds their locks.

    Raises:
        BadInput: another process has locked a folder; or the first host has no run, another one has checkpoints, and
            `fresh` is not set.
    """
    busy, stale = "", list[str]()
    if arguments.local_process_index == 0 and arguments.process_index > 0:
        try:
            held.enter_context(lock_folder(folder.path))
        except BadInput as error:
            busy = f"process {arguments.process_index} of {arguments.world_size}: {error}"
    if lines := [line for line in gather_object([busy]) if line]:
        raise BadInput(lines[0])
    if state == "new" and arguments.local_process_index == 0 and arguments.process_index > 0:
        if fresh:
            folder.clear()
        stale = [path.name for path in checkpoint.checkpoints(folder.path)]
    if found := [names for names in gather_object([stale]) if names]:
        raise BadInput(
            f"{folder.path} contains {found[0][0]} on another host but no run on the first; restore the first host's "
            f"folder, or add --fresh to start over"
        )


def newest(arguments: TrainingArguments, folder: RunFolder) -> checkpoint.Newest:
    """The newest checkpoint that is intact on every host, and one line for each newer one that was skipped.

    Raises:
        RunError: there are checkpoints, but none is intact on every host.
    """
    found: list[list[tuple[int, str | None]]] = [[]]
    if arguments.local_process_index == 0:
        found = [[(checkpoint.step(path), checkpoint.verify(path)) for path in checkpoint.checkpoints(folder.path)]]
    else:
        found = []
    hosts = [dict(pairs) for pairs in gather_object(found)]
    skipped: list[str] = []
    for step in sorted({step for host in hosts for step in host}, reverse=True):
        problems = [host.get(step, "is missing") for host in hosts]
        path = folder.path / f"{checkpoint.PREFIX}{step}"
        if not any(problems):
            return checkpoint.Newest(path, tuple(skipped))
        rank, problem = next((i, p) for i, p in enumerate(problems) if p)
        skipped.append(f"skipped {path}: {problem} on host {rank} of {len(hosts)}")
    return folder.intact(checkpoint.Newest(None, tuple(skipped)))


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Turn communication errors that occur inside when another process is lost into one line.

    Raises:
        RunError: another process or its host was lost.
    """
    try:
        yield
    except RuntimeError as error:
        if size() < 2 or not _LOST.search(str(error)):
            raise
        raise RunError(
            f"process {os.environ.get('RANK', '?')} of {size()} lost the others ({first_line(error):.120}); the same "
            f"command on all hosts continues from the last checkpoint"
        ) from error
