// y[i, :] = sum over the connections e of row i of w[e] x[indices[e], :]
#pragma once

#include <array>

#include "simd.h"
#include "threads.h"

namespace connfit {

struct MatvecArgs {
  const int32_t* indptr;
  const int32_t* indices;
  const float* w;
  const float* x;  // [columns, batch]
  float* y;        // [rows, batch]
  int64_t rows, nnz, batch;
};

// How far ahead of what is read once, weights and indices, it is asked for. The processor follows such streams by
// itself, but not from one page of memory to the next: 4.6 against 6.7 ms for the whole call of one column on a
// Sapphire Rapids, 10.8 against 16.9 for 16.
constexpr int64_t kStreamAhead = 256;

// Asks for weights and indices, once for every 16 of these connections that are gone through by fours.
CONNFIT_INLINE void AskAhead(const float* w, const int32_t* indices, int64_t e) {
  if ((e & 12) != 0) return;
  __builtin_prefetch(w + e + kStreamAhead);
  __builtin_prefetch(indices + e + kStreamAhead);
}

// One column.
inline void MatvecSingle(const MatvecArgs& a, int64_t begin, int64_t end) {
  constexpr int kSums = 8;
  for (int64_t i = begin; i < end; ++i) {
    float sums[kSums] = {};
    int64_t e = a.indptr[i];
    const int64_t stop = a.indptr[i + 1];
    for (; e + kSums <= stop; e += kSums) {
      for (int k = 0; k < kSums; ++k) sums[k] += a.w[e + k] * a.x[a.indices[e + k]];
    }
    for (; e < stop; ++e) sums[0] += a.w[e] * a.x[a.indices[e]];
    a.y[i] = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  }
}

#ifdef CONNFIT_X86
// x at eight places, loaded one by one: a gather instruction takes longer on many processors (8.4 against 5.5 ms for
// the whole call at 15 million connections on a Zen 4), for some of them run it in microcode.
CONNFIT_AVX2 CONNFIT_INLINE __m256 LoadAt(const float* x, const int32_t* at) {
  const __m128 low = _mm_insert_ps(
      _mm_insert_ps(_mm_insert_ps(_mm_load_ss(x + at[0]), _mm_load_ss(x + at[1]), 0x10), _mm_load_ss(x + at[2]), 0x20),
      _mm_load_ss(x + at[3]), 0x30);
  const __m128 high = _mm_insert_ps(
      _mm_insert_ps(_mm_insert_ps(_mm_load_ss(x + at[4]), _mm_load_ss(x + at[5]), 0x10), _mm_load_ss(x + at[6]), 0x20),
      _mm_load_ss(x + at[7]), 0x30);
  return _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
}

// Four independent sums keep enough loads in flight.
CONNFIT_AVX2 inline void MatvecSingleAvx2(const MatvecArgs& a, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    int64_t e = a.indptr[i];
    const int64_t stop = a.indptr[i + 1];
    for (; e + 32 <= stop; e += 32) {
#pragma GCC unroll 2
      for (int k = 0; k < 2; ++k) {
        __builtin_prefetch(a.w + e + kStreamAhead + 16 * k);
        __builtin_prefetch(a.indices + e + kStreamAhead + 16 * k);
      }
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        sums[k] = _mm256_fmadd_ps(_mm256_loadu_ps(a.w + e + 8 * k), LoadAt(a.x, a.indices + e + 8 * k), sums[k]);
      }
    }
    for (; e + 8 <= stop; e += 8) {
      sums[0] = _mm256_fmadd_ps(_mm256_loadu_ps(a.w + e), LoadAt(a.x, a.indices + e), sums[0]);
    }
    float rest = 0.0f;
    for (; e < stop; ++e) rest += a.w[e] * a.x[a.indices[e]];
    a.y[i] = rest + SumLanes(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  }
}
#endif

// V vectors of W columns each, from columns `first` on. Four sums of each, of every fourth connection: one waits for
// its own last addition, which takes longer than fetching what lies in a cache. The same for all widths, so that a
// column does not depend on how many stand beside it.
template <int W, int V>
CONNFIT_INLINE void MatvecBlock(const MatvecArgs& a, const std::array<int64_t, V>& first, int64_t begin, int64_t end) {
  constexpr int64_t kAhead = 32;
  constexpr int kSums = 4;
  for (int64_t i = begin; i < end; ++i) {
    Vector<W> sums[kSums][V] = {};
    int64_t e = a.indptr[i];
    const int64_t stop = a.indptr[i + 1];
    const auto add = [&](int64_t at, Vector<W>* to) CONNFIT_BODY {
      if (W * V >= 8) __builtin_prefetch(a.x + a.indices[std::min(at + kAhead, a.nnz - 1)] * a.batch + first[0]);
      const float* row = a.x + a.indices[at] * a.batch;
      for (int k = 0; k < V; ++k) to[k] += a.w[at] * Load<W>(row + first[k]);
    };
    for (; e + kSums <= stop; e += kSums) {
      AskAhead(a.w, a.indices, e);
#pragma GCC unroll 4
      for (int s = 0; s < kSums; ++s) add(e + s, sums[s]);
    }
    for (; e < stop; ++e) add(e, sums[0]);
    for (int k = 0; k < V; ++k) {
      Store<W>(a.y + i * a.batch + first[k], (sums[0][k] + sums[1][k]) + (sums[2][k] + sums[3][k]));
    }
  }
}

// Two vectors in each pass through the connections. The last begins where it ends with the last column, so that it may
// repeat some of the one before: 15 columns take one pass, as 16 do, instead of four for 8, 4, 2 and 1.
template <int W>
CONNFIT_INLINE void MatvecPasses(const MatvecArgs& a, int64_t begin, int64_t end) {
  for (int64_t first = 0; first < a.batch; first += 2 * W) {
    const int64_t last = a.batch - W;
    if (first + W < a.batch) {
      MatvecBlock<W, 2>(a, {first, std::min(first + W, last)}, begin, end);
    } else {
      MatvecBlock<W, 1>(a, {std::min(first, last)}, begin, end);
    }
  }
}

CONNFIT_INLINE void MatvecColumns(const MatvecArgs& a, int64_t begin, int64_t end) {
  if (a.batch >= 8) return MatvecPasses<8>(a, begin, end);
  if (a.batch >= 4) return MatvecPasses<4>(a, begin, end);
  if (a.batch >= 2) return MatvecPasses<2>(a, begin, end);
  MatvecPasses<1>(a, begin, end);
}

CONNFIT_FOR_EACH_ISA(MatvecColumns, MatvecArgs)

inline void MatvecChunk(const MatvecArgs& a, int64_t begin, int64_t end) {
  if (a.batch != 1) return MatvecColumnsBest(a, begin, end);
#ifdef CONNFIT_X86
  if (CurrentIsa() == Isa::avx2) return MatvecSingleAvx2(a, begin, end);
#endif
  MatvecSingle(a, begin, end);
}

template <typename Pool>
void Matvec(Pool& pool, const MatvecArgs& a) {
  const int64_t chunks = ChunkCount(a.nnz * (1 + a.batch / 8));
  ParallelFor(pool, chunks, [&](int64_t c) {
    MatvecChunk(a, RowCut(a.indptr, a.rows, c, chunks), RowCut(a.indptr, a.rows, c + 1, chunks));
  });
}

}  // namespace connfit
