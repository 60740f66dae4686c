// g[j, :] = sum over the connections e with indices[e] = j of w[e] v[row of e, :]
//
// Rows are scattered into one buffer per partition, and the buffers are added up in their order.
// The number of partitions is part of the call, so the result does not depend on the threads.
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

template <int W>
CONNFIT_INLINE void ScatterBlock(const ScatterArgs& s, int64_t begin, int64_t end, int64_t offset) {
  const RmatvecArgs& a = *s.call;
  float* out = s.out + offset;
  for (int64_t i = begin; i < end; ++i) {
    const Vector<W> v = Load<W>(a.v + i * a.batch + s.first + offset);
    for (int64_t e = a.indptr[i]; e < a.indptr[i + 1]; ++e) {
      float* target = out + a.indices[e] * s.width;
      Store<W>(target, Load<W>(target) + a.w[e] * v);
    }
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
  int64_t offset = 0;
  for (; offset + 8 <= s.width; offset += 8) ScatterBlock<8>(s, begin, end, offset);
  if (offset + 4 <= s.width) ScatterBlock<4>(s, begin, end, offset), offset += 4;
  if (offset + 2 <= s.width) ScatterBlock<2>(s, begin, end, offset), offset += 2;
  if (offset < s.width) ScatterBlock<1>(s, begin, end, offset);
}

CONNFIT_FOR_EACH_ISA(ScatterRows, ScatterArgs)

template <typename Pool>
void Rmatvec(Pool& pool, const RmatvecArgs& a) {
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
