"""File systems of a test's own, and what can befall them: cut off, read-only, full, on a device that fails, hangs or
loses its cache.

A disk is an image on a loop device; a device is the same with qemu-storage-daemon between the image and the loop
device (image → write log → throttle → whatever fails → FUSE file → loop device → file system).
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

FS_IOC_SHUTDOWN = 0x8004587D
# As after a power cut; with what the file system's log holds; with everything.
CUTS = {"nothing": 2, "the log": 1, "everything": 0}
MKFS = {"ext4": ["mkfs.ext4", "-q", "-m", "0"], "xfs": ["mkfs.xfs", "-q"]}
# Nothing of ext4's own reads or writes by the way: a fault would meet it before the broker.
OPTIONS = {"ext4": "errors=remount-ro,noinit_itable", "xfs": "defaults"}


class Disk:
    """A file system in an image file, mounted at `folder`."""

    direct_io = "on"

    def __init__(self, scratch, kind="ext4", size=2 << 30, image=None):
        """A new file system; that of `image`, if it is given."""
        self.kind, self.image = kind, image or os.path.join(scratch, "disk.img")
        self.folder = os.path.join(scratch, "mounted")
        os.makedirs(self.folder, exist_ok=True)
        self.loop = None
        if not image:
            with open(self.image, "wb") as new:
                new.truncate(size)
            run(*MKFS[kind], self.image)

    def attach(self):
        """The file that the loop device is made of."""
        return self.image

    def mount(self):
        self.loop = run("losetup", "--find", "--show", f"--direct-io={self.direct_io}", self.attach()).strip()
        run("mount", "-t", self.kind, "-o", OPTIONS[self.kind], self.loop, self.folder)
        return self

    def unmount(self):
        """The kernel closes the rings of a killed process a moment after it is gone."""
        insist(lambda: run("umount", self.folder))
        self.detach()

    def detach(self):
        if self.loop:
            run("losetup", "--detach", self.loop)
            insist(lambda: "deleted" not in run("losetup", "--list") and self.loop not in run("losetup", "--list"))
            self.loop = None

    def again(self):
        self.unmount()
        return self.mount()

    def shut_down(self, flag):
        """Cuts the file system off, at once: what it has not written is not written any more, all else is EIO."""
        folder = os.open(self.folder, os.O_RDONLY)
        fcntl.ioctl(folder, FS_IOC_SHUTDOWN, struct.pack("I", flag))
        os.close(folder)

    def fail_with_error(self):
        """Makes ext4 find an error, on which it goes read-only, under open writers too."""
        with open(f"/sys/fs/ext4/{os.path.basename(self.loop)}/trigger_fs_error", "w") as trigger:
            trigger.write("planted")

    def fill(self):
        """Takes all blocks, to the last one."""
        with open(os.path.join(self.folder, "ballast"), "ab", buffering=0) as ballast:
            for piece in (64 << 20, 1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, piece)

    def free_bytes(self):
        stat = os.statvfs(self.folder)
        return stat.f_bavail * stat.f_frsize

    def free(self):
        os.remove(os.path.join(self.folder, "ballast"))

    def end(self):
        if self.loop and os.path.ismount(self.folder):
            self.unmount()
        self.detach()


class Device(Disk):
    """A disk that can be made to fail, from the second mount on. Its image may log every write and flush (`log`)."""

    # One request at a time: qemu's FUSE export before 10.1 takes a second one into the buffer of a write that is under way.
    direct_io = "off"

    def __init__(self, scratch, kind="ext4", size=2 << 30, log=False):
        super().__init__(scratch, kind, size)
        self.exported = os.path.join(scratch, "exported.img")
        self.qmp_path = os.path.join(scratch, "qmp.sock")
        self.log = os.path.join(scratch, "writes.log") if log else None
        self.daemon, self.faults, self.between = None, 0, False

    def attach(self):
        if not self.between:
            return self.image
        # That of a daemon that was killed.
        subprocess.run(["umount", "--lazy", self.exported], stderr=subprocess.DEVNULL)
        open(self.exported, "ab").close()
        if self.log:
            open(self.log, "wb").close()
        self.daemon = subprocess.Popen(["qemu-storage-daemon", *self.chain()], stderr=subprocess.PIPE)
        insist(lambda: os.path.getsize(self.exported) == os.path.getsize(self.image))
        return self.exported

    def chain(self):
        yield from ("--object", "throttle-group,id=pace")
        yield from ("--blockdev", f"driver=file,node-name=image,filename={self.image},cache.direct=on")
        top = "image"
        if self.log:
            yield from ("--blockdev", f"driver=file,node-name=log,filename={self.log}")
            yield from ("--blockdev", "driver=blklogwrites,node-name=logged,file=image,log=log")
            top = "logged"
        yield from ("--blockdev", f"driver=throttle,node-name=slow,throttle-group=pace,file={top}")
        yield from ("--blockdev", "driver=raw,node-name=top,file=slow")
        yield from ("--export", f"type=fuse,id=out,node-name=top,mountpoint={self.exported},writable=on")
        yield from ("--chardev", f"socket,id=qmp,path={self.qmp_path},server=on,wait=off", "--monitor", "chardev=qmp")

    def fail(self, kind, once):
        """From now on, or once, EIO on "write", "flush" or "read"."""
        self.faults += 1
        fault = {"event": "none", "iotype": kind, "errno": 5, "once": once}
        name = f"faults-{self.faults}"
        self.ask("blockdev-add", driver="blkdebug", **{"node-name": name, "image": "slow", "inject-error": [fault]})
        self.stand_on(name)

    def heal(self):
        self.stand_on("slow")

    def forget_reads(self):
        """What was read is in the kernel's cache, above the faults."""
        exported = os.open(self.exported, os.O_RDONLY)
        os.posix_fadvise(exported, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(exported)

    def stand_on(self, node):
        self.ask("blockdev-reopen", options=[{"driver": "raw", "node-name": "top", "file": node}])

    def pace(self, operations_a_second):
        """At most so many reads and writes; 0 for as fast as it goes."""
        self.ask("qom-set", path="/objects/pace", property="limits", value={"iops-total": operations_a_second})

    def hang(self):
        self.daemon.send_signal(signal.SIGSTOP)

    def go_on(self):
        if self.daemon:
            self.daemon.send_signal(signal.SIGCONT)

    def ask(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.settimeout(30)
            qmp.connect(self.qmp_path)
            lines = qmp.makefile("rw")
            lines.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                lines.write(json.dumps(request))
                lines.flush()
                answer = json.loads(lines.readline())
                while "event" in answer:
                    answer = json.loads(lines.readline())
                assert "return" in answer, f"{command}: {answer}"

    def detach(self):
        super().detach()
        self.between = True
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait()
            self.daemon = None

    def end(self):
        self.go_on()
        super().end()


def insist(attempt, seconds=20):
    """Until it neither raises nor is false."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if attempt() is not False:
                return
        except (OSError, subprocess.CalledProcessError):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.05)


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def missing():
    """What this machine lacks for all this; empty if nothing."""
    lacking = [tool for tool in ("losetup", "mkfs.ext4", "mkfs.xfs", "qemu-storage-daemon") if not shutil.which(tool)]
    lacking += [path for path in ("/dev/loop-control", "/dev/fuse") if not os.path.exists(path)]
    return ["root"] * (os.geteuid() != 0) + lacking
