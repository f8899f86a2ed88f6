#!/usr/bin/env python3
"""Runs a command in which the kernel refuses io_uring, as containers often do.

usage: refuse_io_uring.py EPERM|ENOSYS COMMAND [ARGUMENT…]

A seccomp filter, inherited by every child, lets io_uring_setup, io_uring_enter and
io_uring_register fail with that error. x86-64 only; needs no root.
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_KILL_PROCESS = 0x80000000
AUDIT_ARCH_X86_64 = 0xC000003E
FIRST, LAST = 425, 427  # io_uring_setup, io_uring_enter, io_uring_register

LOAD, JUMP_EQUAL, JUMP_ABOVE, JUMP_FROM, RETURN = 0x20, 0x15, 0x25, 0x35, 0x06
NUMBER_AT, ARCH_AT = 0, 4  # in struct seccomp_data


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def instructions(error):
    """Each: code, how many to skip if true, if false, operand."""
    return [
        (LOAD, 0, 0, ARCH_AT),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64),
        (RETURN, 0, 0, SECCOMP_RET_KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_FROM, 0, 2, FIRST),
        (JUMP_ABOVE, 1, 0, LAST),
        (RETURN, 0, 0, SECCOMP_RET_ERRNO | error),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]


def refuse(error):
    """Installs the filter in this process."""
    code = b"".join(struct.pack("HBBI", *one) for one in instructions(error))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    calls = [
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0),
    ]
    for call in calls:
        if prctl(*call) != 0:
            number = ctypes.get_errno()
            sys.exit(f"refuse_io_uring: prctl({call[0]}): {os.strerror(number)}")


def main():
    errors = {"EPERM": errno.EPERM, "ENOSYS": errno.ENOSYS}
    if len(sys.argv) < 3 or sys.argv[1] not in errors:
        sys.exit(__doc__)
    if os.uname().machine != "x86_64":
        sys.exit("refuse_io_uring: x86-64 only")
    refuse(errors[sys.argv[1]])
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"refuse_io_uring: {sys.argv[2]}: {error.strerror}")


if __name__ == "__main__":
    main()
