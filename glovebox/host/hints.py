"""Known causes of failed steps: what programs say, and what helps."""

from __future__ import annotations

import re

DISK_FULL = (
    "the disk is full: make room, or ./invoke clean --keep 10G, or set GLOVEBOX_STORE to another"
    " disk; the next run goes on from here"
)
# The first that fits counts, so the more exact ones stand above.
_KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"No space left on device|Disk quota exceeded|not enough free space|You don't have enough",
        DISK_FULL,
    ),
    (
        r"Exec format error|cannot execute binary file",
        (
            "a program of the board's processor did not run: the emulator is not registered with"
            " flag F (./invoke doctor says); ./invoke setup registers it"
        ),
    ),
    (
        r"/lib/ld-linux[\w.-]*: No such file or directory|Could not open '/lib/ld-",
        (
            "the emulator runs and does not find the board's loader: the root file system lacks it,"
            " or a program of another processor was copied in"
        ),
    ),
    (
        (
            r"qemu: Unsupported syscall|qemu: uncaught target signal \d+ \((Segmentation|Illegal)"
            r"|Unknown QEMU_CPU|unable to find CPU model"
        ),
        (
            "the emulator failed, not the program: qemu-user-static may be too old for this suite"
            " (7.2 or newer is known to work; apt-cache policy qemu-user-static)"
        ),
    ),
    (
        r"is not valid yet|not yet valid \(invalid for another",
        "this machine's clock is behind: timedatectl set-ntp true, then date",
    ),
    (
        r"Release file .*expired|Release file .*is expired|is not valid anymore",
        (
            "the mirror is stale or this machine's clock is ahead: date; another mirror can be set"
            " in image.yaml: mirror: http://…/debian"
        ),
    ),
    (
        (
            r"404 +Not Found|Unable to locate package|has no installation candidate"
            r"|Version '[^']*' for '[^']*' was not found"
        ),
        (
            "a package is gone from the mirror, or its name is wrong: ./invoke build-image"
            " --refresh asks the mirror for what it has now"
        ),
    ),
    (
        r"Hash Sum mismatch|File has unexpected size",
        (
            "the mirror is being updated, or something on the way changes files: try again in an"
            " hour, or set another mirror in image.yaml"
        ),
    ),
    (
        (
            r"Temporary failure resolving|Could not resolve|Could not connect"
            r"|Network is unreachable|Connection (timed out|refused|failed)|No route to host"
        ),
        (
            "there is no way to the server: check the network; the next run goes on where this one"
            " stopped, and a locked build whose files were fetched needs no network"
        ),
    ),
    (
        r"[Tt]imed out|Connection (reset|closed)|Error reading from server|Undetermined Error",
        "the network dropped or hangs: the next run goes on where this one stopped",
    ),
    (
        (
            r"Cannot allocate memory|Out of memory|out of memory|MemoryError|\bKilled\b|status 137"
            r"|was ended by SIGKILL"
        ),
        "memory ran out, or somebody killed it: dmesg | tail says which; 2 GB are enough",
    ),
    (
        r"Read-only file system",
        (
            "something writes where it cannot: the kernel may have remounted a broken disk (dmesg),"
            " or the script writes outside of its root file system"
        ),
    ),
    (
        r"NO_PUBKEY|keyring .* does not exist|could not be verified because the public key",
        (
            "Debian's keys are too old or missing here: apt-get install --reinstall"
            " debian-archive-keyring"
        ),
    ),
    (
        r"(unshare|mount): .*(Operation not permitted|[Pp]ermission denied)|must be superuser",
        "this machine, or the container around it, does not allow mounts: ./invoke doctor",
    ),
)


def hint_for(said: str) -> str | None:
    """Give what helps against a failure whose last lines are ``said``, if it is a known one."""
    for pattern, hint in _KNOWN:
        if re.search(pattern, said):
            return hint
    return None
