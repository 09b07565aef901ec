"""What numba lacks: reading many bytes at once, and arrays without wrapping around below zero.

Each becomes one or a few instructions on any CPU: the vectors are LLVM's own and are cut to what
the machine has. The caller keeps every place inside the array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

U = np.uint64
U0, U1, U8, U10, U16, U32, U56 = (U(n) for n in (0, 1, 8, 10, 16, 32, 56))
ALL = U(0xFFFFFFFFFFFFFFFF)
ONES = U(0x0101010101010101)
HIGHS = U(0x8080808080808080)

_PAIRS = U(0x000000FF000000FF)
_MUL_A = U(0x000F424000000064)
_MUL_B = U(0x0000271000000001)


def _address(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [at], source_etype=context.get_data_type(kind.dtype))


@intrinsic
def load8(typing: Any, text: Any, at: Any) -> Any:
    """The eight bytes of `text` from `at` on as a little-endian number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments)
        return builder.load(address, align=1, typ=ir.IntType(64))

    return types.uint64(text, types.int64), generate


@intrinsic
def byte(typing: Any, text: Any, at: Any) -> Any:
    """The byte of `text` at `at`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments)
        return builder.load(address, align=1, typ=ir.IntType(8))

    return types.uint8(text, types.int64), generate


@intrinsic
def mark(typing: Any, marks: Any, at: Any) -> Any:
    """Number `at` of an int32 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments)
        value = builder.load(address, align=4, typ=ir.IntType(32))
        return builder.sext(value, ir.IntType(64))

    return types.int64(marks, types.int64), generate


@intrinsic
def put_mark(typing: Any, marks: Any, at: Any, value: Any) -> Any:
    """Set number `at` of an int32 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments[:2])
        builder.store(builder.trunc(arguments[2], ir.IntType(32)), address, align=4)
        return context.get_dummy_value()

    return types.void(marks, types.int64, types.int64), generate


@intrinsic
def get(typing: Any, array: Any, at: Any) -> Any:
    """Number `at` of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_data_type(signature.return_type)
        address = _address(context, builder, signature.args[0], *arguments)
        return builder.load(address, typ=kind)

    return array.dtype(array, types.int64), generate


@intrinsic
def put(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Set number `at` of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], address)
        return context.get_dummy_value()

    return types.void(array, types.int64, array.dtype), generate


@intrinsic
def equal64(typing: Any, text: Any, at: Any, value: Any) -> Any:
    """Bit n is set where byte `at + n` of `text` equals `value`, for 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), 64)
        address = _address(context, builder, signature.args[0], *arguments[:2])
        block = builder.load(address, align=1, typ=vector)
        nothing = ir.Constant(vector, ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        one = builder.insert_element(nothing, arguments[2], first)
        values = builder.shuffle_vector(one, nothing, everywhere)
        return builder.bitcast(builder.icmp_unsigned("==", block, values), ir.IntType(64))

    return types.uint64(text, types.int64, types.uint8), generate


@intrinsic
def zeros_below(typing: Any, bits: Any) -> Any:
    """Number of zero bits below the lowest set one; 64 for none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def count_ones(typing: Any, bits: Any) -> Any:
    """Number of set bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@njit(nogil=True)
def value8(digits):
    """Eight digit values, the first in the lowest byte, as one number."""
    pairs = digits * U10 + (digits >> U8)
    return ((pairs & _PAIRS) * _MUL_A + ((pairs >> U16) & _PAIRS) * _MUL_B) >> U32
