"""Triton kernels for dropout and attention on CUDA, whose masks are functions of (seed, call, row, position).

Philox4x32 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"), 7 rounds, is keyed by the seed of a
forward pass; its counter is (a number within the row's mask, the row's number in the global batch, head, call). Its
128 bits are eight numbers of 16 bits, and each decides over one element: kept where it is at least p * 65536, rounded,
so that p is exact to within 2**-17. `models/fused.py` launches these and gives them gradients.

R rows at hand, H heads, T queries and S keys of a row, D width of a head; (R, T, H, D) and (R, S, H, D), contiguous.
W = `lanes` bytes hold the mask of one query: key j is bit j // W of byte j % W, so that a tile of queries by W keys (or
a multiple of W) is loaded once and serves every tile of keys after a shift. fp32 accumulation and softmax; scores are
in units of log 2.
"""

import triton
import triton.language as tl

ROUNDS = tl.constexpr(7)  # the fewest that pass BigCrush
LANES = tl.constexpr(512)  # of `dropout`: part of what its mask is
PADDED_SCORE = tl.constexpr(-1e30)  # finite: a row without any token has no NaN


@triton.jit
def _bit(word, threshold, number: tl.constexpr):
    """Bit `number` of a mask's byte, from its 16 bits of a Philox word."""
    return ((((word >> (16 * (number % 2))) & 0xFFFF) >= threshold).to(tl.uint8)) << number


@triton.jit
def _byte(seed, counter, row, head, call, threshold):
    """Eight decisions, bit n by the n-th 16 bits: 1 is kept."""
    a, b, c, d = tl.philox(seed, counter, row, head, call, ROUNDS)
    low = _bit(a, threshold, 0) | _bit(a, threshold, 1) | _bit(b, threshold, 2) | _bit(b, threshold, 3)
    high = _bit(c, threshold, 4) | _bit(c, threshold, 5) | _bit(d, threshold, 6) | _bit(d, threshold, 7)
    return low | high


@triton.jit(do_not_specialize=["call", "threshold"])
def dropout(X, OUT, SEED, ROWS, size, call, threshold, factor):
    """`size` elements of a row, 8 * LANES a program: element n of lane l is at n * LANES + l."""
    at = tl.program_id(0)
    lane = tl.arange(0, LANES)
    row = tl.load(ROWS + at).to(tl.int32)
    byte = _byte(tl.load(SEED), tl.program_id(1) * LANES + lane, row, 0, call, threshold)
    start = at.to(tl.int64) * size
    for number in tl.static_range(8):
        place = (tl.program_id(1) * 8 + number) * LANES + lane
        x = tl.load(X + start + place, mask=place < size, other=0.0).to(tl.float32)
        kept = tl.where(((byte >> number) & 1) != 0, x * factor, 0.0)
        tl.store(OUT + start + place, kept.to(OUT.dtype.element_ty), mask=place < size)


@triton.jit(do_not_specialize=["call", "threshold"])
def keep_bits(BITS, SEED, ROWS, size, call, threshold, H: tl.constexpr, BLOCK: tl.constexpr):
    """(R, H, T, W) bytes, `size` = T * W of a head."""
    at = tl.program_id(0)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(ROWS + at // H).to(tl.int32)
    byte = _byte(tl.load(SEED), place, row, at % H, call, threshold)
    tl.store(BITS + at.to(tl.int64) * size + place, byte, mask=place < size)


@triton.jit
def _scores(q, k, PAD, pads, j, S, scale, PADDED: tl.constexpr, PRECISION: tl.constexpr):
    """Scores (queries, keys), -1e30 for padding and -inf for what is no key at all."""
    s = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    if PADDED:
        s = tl.where(tl.load(PAD + pads + j, mask=j < S, other=1)[None, :] != 0, s, PADDED_SCORE)
    return tl.where(j[None, :] < S, s, float("-inf"))


@triton.jit(do_not_specialize=["T", "S"])
def attention_forward(
    Q, K, V, PAD, BITS, OUT, LSE, T, S, scale, factor,
    H: tl.constexpr, D: tl.constexpr, W: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    PADDED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A tile of queries against all keys: softmax as one goes, its dropout after the sum that it is divided by."""
    at = tl.program_id(0)
    r = (at // H).to(tl.int64)
    i, lane, d = tl.program_id(1) * BM + tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, D)
    start, others = r * T * (H * D) + (at % H) * D, r * S * (H * D) + (at % H) * D
    mine = i[:, None] < T
    q = tl.load(Q + start + i[:, None] * (H * D) + d[None, :], mask=mine, other=0.0)
    first = at.to(tl.int64) * T
    bits = tl.load(BITS + (first + i[:, None]) * W + (lane % W)[None, :], mask=mine, other=0)
    most = tl.full([BM], float("-inf"), tl.float32)
    total = tl.zeros([BM], tl.float32)
    mixed = tl.zeros([BM, D], tl.float32)
    for tile in range(0, S, BN):
        j = tile + lane
        theirs = others + j[:, None] * (H * D) + d[None, :]
        k = tl.load(K + theirs, mask=j[:, None] < S, other=0.0)
        v = tl.load(V + theirs, mask=j[:, None] < S, other=0.0)
        s = _scores(q, k, PAD, r * S, j, S, scale, PADDED, PRECISION)
        larger = tl.maximum(most, tl.max(s, 1))
        shrink = tl.exp2(most - larger)
        w = tl.exp2(s - larger[:, None])
        total = total * shrink + tl.sum(w, 1)
        w = tl.where(((bits >> (j // W)[None, :]) & 1) != 0, w, 0.0)
        mixed = mixed * shrink[:, None] + tl.dot(w.to(v.dtype), v, input_precision=PRECISION)
        most = larger
    out = mixed * (factor / total)[:, None]
    tl.store(OUT + start + i[:, None] * (H * D) + d[None, :], out.to(OUT.dtype.element_ty), mask=mine)
    tl.store(LSE + first + i, most + tl.log2(total), mask=i < T)


@triton.jit(do_not_specialize=["T", "S"])
def attention_queries(
    Q, K, V, PAD, BITS, OUT, GRAD, LSE, DELTA, DQ, T, S, scale, factor, rescale,
    H: tl.constexpr, D: tl.constexpr, W: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    PADDED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dL/dq of a tile of queries; leaves sum(out * grad) of each in DELTA for `attention_keys`."""
    at = tl.program_id(0)
    r = (at // H).to(tl.int64)
    i, lane, d = tl.program_id(1) * BM + tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, D)
    start, others = r * T * (H * D) + (at % H) * D, r * S * (H * D) + (at % H) * D
    mine = i[:, None] < T
    places = start + i[:, None] * (H * D) + d[None, :]
    q = tl.load(Q + places, mask=mine, other=0.0)
    grad = tl.load(GRAD + places, mask=mine, other=0.0)
    out = tl.load(OUT + places, mask=mine, other=0.0)
    delta = tl.sum(out.to(tl.float32) * grad.to(tl.float32), 1)
    first = at.to(tl.int64) * T
    tl.store(DELTA + first + i, delta, mask=i < T)
    lse = tl.load(LSE + first + i, mask=i < T, other=0.0)
    bits = tl.load(BITS + (first + i[:, None]) * W + (lane % W)[None, :], mask=mine, other=0)
    dq = tl.zeros([BM, D], tl.float32)
    for tile in range(0, S, BN):
        j = tile + lane
        theirs = others + j[:, None] * (H * D) + d[None, :]
        k = tl.load(K + theirs, mask=j[:, None] < S, other=0.0)
        v = tl.load(V + theirs, mask=j[:, None] < S, other=0.0)
        w = tl.exp2(_scores(q, k, PAD, r * S, j, S, scale, PADDED, PRECISION) - lse[:, None])
        dw = tl.dot(grad, tl.trans(v), input_precision=PRECISION) * factor
        dw = tl.where(((bits >> (j // W)[None, :]) & 1) != 0, dw, 0.0)
        ds = w * (dw - delta[:, None])
        dq += tl.dot(ds.to(k.dtype), k, input_precision=PRECISION)
    tl.store(DQ + places, (dq * rescale).to(DQ.dtype.element_ty), mask=mine)


@triton.jit(do_not_specialize=["T", "S"])
def attention_keys(
    Q, K, V, PAD, BITS, GRAD, LSE, DELTA, DK, DV, T, S, scale, factor, rescale,
    H: tl.constexpr, D: tl.constexpr, W: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    PADDED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dL/dk and dL/dv of a tile of keys, against all queries; tiles are (keys, queries)."""
    at = tl.program_id(0)
    r = (at // H).to(tl.int64)
    j, d = tl.program_id(1) * BN + tl.arange(0, BN), tl.arange(0, D)
    start, others = r * S * (H * D) + (at % H) * D, r * T * (H * D) + (at % H) * D
    places = start + j[:, None] * (H * D) + d[None, :]
    k = tl.load(K + places, mask=j[:, None] < S, other=0.0)
    v = tl.load(V + places, mask=j[:, None] < S, other=0.0)
    first = at.to(tl.int64) * T
    dk = tl.zeros([BN, D], tl.float32)
    dv = tl.zeros([BN, D], tl.float32)
    for tile in range(0, T, BM):
        i = tile + tl.arange(0, BM)
        theirs = i[:, None] < T
        q = tl.load(Q + others + i[:, None] * (H * D) + d[None, :], mask=theirs, other=0.0)
        grad = tl.load(GRAD + others + i[:, None] * (H * D) + d[None, :], mask=theirs, other=0.0)
        lse = tl.load(LSE + first + i, mask=i < T, other=float("inf"))  # weight 0 for what is no query
        delta = tl.load(DELTA + first + i, mask=i < T, other=0.0)
        bits = tl.load(BITS + (first + i[None, :]) * W + (j % W)[:, None], mask=i[None, :] < T, other=0)
        s = tl.dot(k, tl.trans(q), input_precision=PRECISION) * scale
        if PADDED:
            s = tl.where(tl.load(PAD + r * S + j, mask=j < S, other=1)[:, None] != 0, s, PADDED_SCORE)
        w = tl.exp2(s - lse[None, :])
        kept = ((bits >> (j // W)[:, None]) & 1) != 0
        dv += tl.dot(tl.where(kept, w * factor, 0.0).to(grad.dtype), grad, input_precision=PRECISION)
        dw = tl.where(kept, tl.dot(v, tl.trans(grad), input_precision=PRECISION) * factor, 0.0)
        ds = w * (dw - delta[None, :])
        dk += tl.dot(ds.to(q.dtype), q, input_precision=PRECISION)
    tl.store(DK + places, (dk * rescale).to(DK.dtype.element_ty), mask=j[:, None] < S)
    tl.store(DV + places, dv.to(DV.dtype.element_ty), mask=j[:, None] < S)
