"""The C allocator of a process of ours: large buffers are kept between layers, not given back to the kernel and zeroed
again. Results are the same to the bit. Only for a process that we start: never when the library is imported."""

import ctypes
import platform

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h
KEEP = 2**31 - 1


def keep_buffers() -> bool:
    """Whether it could be told: glibc's can, others are left as they are."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(MMAP_MAX, 0)) and bool(libc.mallopt(TRIM_THRESHOLD, KEEP))
