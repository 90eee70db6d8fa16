#!/usr/bin/env python3
"""A command to which the kernel refuses some system calls, as containers do.

    refuse.py NAME[,NAME...] COMMAND...

Each call that is named gives EPERM, from the command's first instruction on.
"""
import ctypes
import os
import platform
import struct
import sys

NUMBERS = {"x86_64": {"prctl": 157, "capset": 126, "seccomp": 317},
           "aarch64": {"prctl": 167, "capset": 91, "seccomp": 277}}[platform.machine()]
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
LOAD_CALL, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, EPERM = 0x7FFF0000, 0x00050001


class Program(ctypes.Structure):
    _fields_ = [("n", ctypes.c_ushort), ("at", ctypes.c_void_p)]


def main():
    code = struct.pack("HBBI", LOAD_CALL, 0, 0, 0)
    for name in sys.argv[1].split(","):
        code += struct.pack("HBBI", IF_EQUAL, 0, 1, NUMBERS[name])
        code += struct.pack("HBBI", RETURN, 0, 0, EPERM)
    code += struct.pack("HBBI", RETURN, 0, 0, ALLOW)
    text = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.cast(text, ctypes.c_void_p))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                                                       ctypes.byref(program), 0, 0):
        sys.exit("refuse.py: no filter of system calls here")
    os.execv(sys.argv[2], sys.argv[2:])


main()
