// g[j, :] = sum over the connections e with indices[e] = j of w[e] v[row of e, :]
//
// Rows are scattered into one buffer per partition, and the buffers are added up in their order; a single partition
// needs none. The number of partitions is part of the call, so the result does not depend on the threads.
#pragma once

#include "matvec.h"
#include "simd.h"
#include "threads.h"

namespace connfit {

struct RmatvecArgs {
  const int32_t* indptr;
  const int32_t* indices;
  const float* w;
  const float* v;  // [rows, batch]
  float* g;        // [columns, batch]
  float* buffers;  // [partitions, columns, block]
  int64_t rows, columns, nnz, batch, partitions, block;
};

// What one partition needs: columns first..first+width of v, scattered into `out` [columns, width].
struct ScatterArgs {
  const RmatvecArgs* call;
  float* out;
  int64_t first, width;
};

// Columns from `at` on: a vector of 8, or those of 4, 2 and 1 that fewer are made of, in one pass through the
// connections.
template <bool Eight, bool Four, bool Two, bool One>
CONNFIT_INLINE void ScatterVectors(const ScatterArgs& s, int64_t begin, int64_t end, int64_t at) {
  const RmatvecArgs& a = *s.call;
  constexpr int kTwo = 4 * Four, kOne = kTwo + 2 * Two;
  for (int64_t i = begin; i < end; ++i) {
    const float* from = a.v + i * a.batch + s.first + at;
    const Vector<8> eight = Eight ? Load<8>(from) : Vector<8>{};
    const Vector<4> four = Four ? Load<4>(from) : Vector<4>{};
    const Vector<2> two = Two ? Load<2>(from + kTwo) : Vector<2>{};
    const float one = One ? from[kOne] : 0.0f;
    const auto add = [&](int64_t e) CONNFIT_BODY {
      float* to = s.out + at + a.indices[e] * s.width;
      if (Eight) Store<8>(to, Load<8>(to) + a.w[e] * eight);
      if (Four) Store<4>(to, Load<4>(to) + a.w[e] * four);
      if (Two) Store<2>(to + kTwo, Load<2>(to + kTwo) + a.w[e] * two);
      if (One) to[kOne] += a.w[e] * one;
    };
    int64_t e = a.indptr[i];
    const int64_t stop = a.indptr[i + 1];
    for (; e + 4 <= stop; e += 4) {
      AskAhead(a.w, a.indices, e);
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) add(e + k);
    }
    for (; e < stop; ++e) add(e);
  }
}

CONNFIT_INLINE void ScatterSingle(const ScatterArgs& s, int64_t begin, int64_t end) {
  const RmatvecArgs& a = *s.call;
  float* __restrict out = s.out;
  for (int64_t i = begin; i < end; ++i) {
    const float v = a.v[i * a.batch + s.first];
    int64_t e = a.indptr[i];
    const int64_t stop = a.indptr[i + 1];
    for (; e + 16 <= stop; e += 16) {
      __builtin_prefetch(a.w + e + kStreamAhead);
      __builtin_prefetch(a.indices + e + kStreamAhead);
      for (int k = 0; k < 16; ++k) out[a.indices[e + k]] += a.w[e + k] * v;
    }
    for (; e < stop; ++e) out[a.indices[e]] += a.w[e] * v;
  }
}

CONNFIT_INLINE void ScatterRows(const ScatterArgs& s, int64_t begin, int64_t end) {
  if (s.width == 1) return ScatterSingle(s, begin, end);
  int64_t at = 0;
  for (; at + 8 <= s.width; at += 8) ScatterVectors<true, false, false, false>(s, begin, end, at);
  switch (s.width - at) {
    case 1: return ScatterVectors<false, false, false, true>(s, begin, end, at);
    case 2: return ScatterVectors<false, false, true, false>(s, begin, end, at);
    case 3: return ScatterVectors<false, false, true, true>(s, begin, end, at);
    case 4: return ScatterVectors<false, true, false, false>(s, begin, end, at);
    case 5: return ScatterVectors<false, true, false, true>(s, begin, end, at);
    case 6: return ScatterVectors<false, true, true, false>(s, begin, end, at);
    case 7: return ScatterVectors<false, true, true, true>(s, begin, end, at);
    default: return;
  }
}

CONNFIT_FOR_EACH_ISA(ScatterRows, ScatterArgs)

// Adds up what reaches the columns begin ... end - 1 of `g`, which no other thread writes to.
CONNFIT_INLINE void ScatterInto(const RmatvecArgs& a, int64_t begin, int64_t end) {
  std::fill(a.g + begin * a.batch, a.g + end * a.batch, 0.0f);
  for (int64_t i = 0; i < a.rows; ++i) {
    const float* from = a.v + i * a.batch;
    for (int64_t e = a.indptr[i]; e < a.indptr[i + 1]; ++e) {
      if ((e & 3) == 0) AskAhead(a.w, a.indices, e);
      if (a.indices[e] < begin || a.indices[e] >= end) continue;
      float* to = a.g + a.indices[e] * a.batch;
      int64_t b = 0;
      for (; b + 8 <= a.batch; b += 8) Store<8>(to + b, Load<8>(to + b) + a.w[e] * Load<8>(from + b));
      for (; b < a.batch; ++b) to[b] += a.w[e] * from[b];
    }
  }
}

CONNFIT_FOR_EACH_ISA(ScatterInto, RmatvecArgs)

template <typename Pool>
void Rmatvec(Pool& pool, const RmatvecArgs& a) {
  if (a.partitions == 1) {
    // Each goes through all connections: of few columns of v that takes longer than what is added.
    const int64_t chunks = a.batch < 8 ? 1 : std::clamp<int64_t>(a.nnz * a.batch / 65536, 1, 4);
    return ParallelFor(pool, chunks,
                       [&](int64_t c) { ScatterIntoBest(a, a.columns * c / chunks, a.columns * (c + 1) / chunks); });
  }
  for (int64_t first = 0; first < a.batch; first += a.block) {
    const int64_t width = std::min(a.block, a.batch - first);
    const int64_t size = a.columns * width;
    ParallelFor(pool, a.partitions, [&](int64_t p) {
      float* out = a.buffers + p * size;
      std::fill(out, out + size, 0.0f);
      ScatterRowsBest({&a, out, first, width}, RowCut(a.indptr, a.rows, p, a.partitions),
                      RowCut(a.indptr, a.rows, p + 1, a.partitions));
    });
    const int64_t chunks = ChunkCount(size * a.partitions);
    ParallelFor(pool, chunks, [&](int64_t c) {
      const int64_t begin = a.columns * c / chunks, end = a.columns * (c + 1) / chunks;
      for (int64_t j = begin; j < end; ++j) {
        for (int64_t b = 0; b < width; ++b) {
          float sum = a.buffers[j * width + b];
          for (int64_t p = 1; p < a.partitions; ++p) sum += a.buffers[p * size + j * width + b];
          a.g[j * a.batch + first + b] = sum;
        }
      }
    });
  }
}

}  // namespace connfit
