// One pass over the connections e = (row i, column j):
//   gradient[e]      = sum over b of ( carry[i, b] trace[e, b] + sum over k of left[i, b, k] right[j, b, k] )
//   new_trace[e, b]  = decay[i, b] trace[e, b] + sum over k of trace_left[i, b, k] right[j, b, k]
// and, without a trace, gradient[e] = sum over k of left[i, k] right[j, k].
#pragma once

#include "bfloat16.h"
#include "simd.h"
#include "threads.h"

namespace connfit {

// Trace: float or Bfloat16.
template <typename Trace>
struct WindowOuterArgs {
  const int32_t* indptr;
  const int32_t* indices;
  const Trace* trace;       // [nnz, batch]; may be the same memory as new_trace; null without a trace
  const float* carry;       // [rows, batch]
  const float* decay;       // [rows, batch]
  const float* left;        // [rows, batch, steps]
  const float* trace_left;  // [rows, batch, steps]
  const float* right;       // [columns, batch, steps]
  float* gradient;          // [nnz]
  Trace* new_trace;         // [nnz, batch]
  int64_t rows, nnz, batch, steps;
};

CONNFIT_INLINE float Sum(Vector<8> v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

// The plain form, any shape.
template <typename Trace>
void WindowOuterRows(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  const int64_t steps = a.steps, stride = a.batch * steps;
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t e = a.indptr[i]; e < a.indptr[i + 1]; ++e) {
      const float* soon = a.right + a.indices[std::min(e + 24, a.nnz - 1)] * stride;
      for (int64_t k = 0; k < stride; k += 16) __builtin_prefetch(soon + k);
      float gradient = 0.0f;
      for (int64_t b = 0; b < a.batch; ++b) {
        const float* left = a.left + i * stride + b * steps;
        const float* trace_left = a.trace == nullptr ? left : a.trace_left + i * stride + b * steps;
        const float* right = a.right + a.indices[e] * stride + b * steps;
        Vector<8> now = {}, later = {};
        int64_t k = 0;
        for (; k + 8 <= steps; k += 8) {
          now += Load<8>(left + k) * Load<8>(right + k);
          later += Load<8>(trace_left + k) * Load<8>(right + k);
        }
        float sum_now = Sum(now), sum_later = Sum(later);
        for (; k < steps; ++k) {
          sum_now += left[k] * right[k];
          sum_later += trace_left[k] * right[k];
        }
        gradient += sum_now;
        if (a.trace == nullptr) continue;
        const float trace = ToFloat(a.trace[e * a.batch + b]);
        gradient += a.carry[i * a.batch + b] * trace;
        a.new_trace[e * a.batch + b] = FromFloat<Trace>(a.decay[i * a.batch + b] * trace + sum_later);
      }
      a.gradient[e] = gradient;
    }
  }
}

#ifdef CONNFIT_X86
// Up to eight connections of one row at once: a vector of partial sums for each, transposed into
// one sum per lane at the end. K is the number of steps if known when compiling, else 0; the rows of
// `right` are scattered over memory and therefore asked for well before they are needed.
template <int K, bool kTrace, bool kSingle, bool kFull, typename Trace>
CONNFIT_AVX2 CONNFIT_INLINE void WindowOuterEight(const WindowOuterArgs<Trace>& a, int64_t i, int64_t e, int64_t count,
                                                  const int32_t* ahead) {
  const int64_t steps = K == 0 ? a.steps : K;
  const int64_t batch = kSingle ? 1 : a.batch, stride = batch * steps;
  const int64_t whole = steps & ~int64_t{7};
  const __m256i tail = FirstLanes(steps - whole), lanes = FirstLanes(count);
  const float* right[8];
#pragma GCC unroll 8
  for (int z = 0; z < 8; ++z) {
    // Missing connections repeat the last one; their results are not stored.
    right[z] = a.right + a.indices[e + (kFull || z < count ? z : count - 1)] * stride;
    if (kFull) {
      const float* soon = a.right + ahead[z] * stride;
      if (kSingle && (K == 16 || K == 8)) {
        __builtin_prefetch(soon);
      } else {
        for (int64_t k = 0; k < stride; k += 16) __builtin_prefetch(soon + k);
      }
    }
  }
  __m256 gradient = _mm256_setzero_ps();
  for (int64_t b = 0; b < batch; ++b) {
    const float* left = a.left + i * stride + b * steps;
    const float* trace_left = kTrace ? a.trace_left + i * stride + b * steps : nullptr;
    // Sums are transposed pair by pair, which keeps them in registers.
    __m256 now[4], later[4];
#pragma GCC unroll 4
    for (int pair = 0; pair < 4; ++pair) {
      __m256 x[2], y[2];
#pragma GCC unroll 2
      for (int one = 0; one < 2; ++one) {
        const float* from = right[2 * pair + one] + b * steps;
        x[one] = y[one] = _mm256_setzero_ps();
        for (int64_t k = 0; k < whole; k += 8) {
          const __m256 source = _mm256_loadu_ps(from + k);
          x[one] = _mm256_fmadd_ps(_mm256_loadu_ps(left + k), source, x[one]);
          if (kTrace) y[one] = _mm256_fmadd_ps(_mm256_loadu_ps(trace_left + k), source, y[one]);
        }
        if (K == 0 && whole < steps) {
          const __m256 source = _mm256_maskload_ps(from + whole, tail);
          x[one] = _mm256_fmadd_ps(_mm256_maskload_ps(left + whole, tail), source, x[one]);
          if (kTrace) y[one] = _mm256_fmadd_ps(_mm256_maskload_ps(trace_left + whole, tail), source, y[one]);
        }
      }
      now[pair] = _mm256_hadd_ps(x[0], x[1]);
      if (kTrace) later[pair] = _mm256_hadd_ps(y[0], y[1]);
    }
    gradient = _mm256_add_ps(gradient, SumPairs(now));
    if (!kTrace) continue;
    const __m256 decay = _mm256_set1_ps(a.decay[i * batch + b]), carry = _mm256_set1_ps(a.carry[i * batch + b]);
    if (kSingle) {
      const __m256 trace = kFull ? LoadEight(a.trace + e) : LoadFirst(a.trace + e, lanes, count);
      gradient = _mm256_fmadd_ps(carry, trace, gradient);
      const __m256 kept = _mm256_fmadd_ps(decay, trace, SumPairs(later));
      if (kFull) {
        StoreEight(a.new_trace + e, kept);
      } else {
        StoreFirst(a.new_trace + e, count, kept);
      }
    } else {
      alignas(32) float trace[8] = {}, kept[8];
      for (int64_t z = 0; z < count; ++z) trace[z] = ToFloat(a.trace[(e + z) * batch + b]);
      gradient = _mm256_fmadd_ps(carry, _mm256_load_ps(trace), gradient);
      _mm256_store_ps(kept, _mm256_fmadd_ps(decay, _mm256_load_ps(trace), SumPairs(later)));
      for (int64_t z = 0; z < count; ++z) a.new_trace[(e + z) * batch + b] = FromFloat<Trace>(kept[z]);
    }
  }
  if (kFull) {
    _mm256_storeu_ps(a.gradient + e, gradient);
  } else {
    StoreFirst(a.gradient + e, count, gradient);
  }
}

// One step of one recording: a gather of eight sources at a time.
template <bool kTrace, typename Trace>
CONNFIT_AVX2 void WindowOuterAvx2One(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const float left = a.left[i], trace_left = kTrace ? a.trace_left[i] : 0.0f;
    const float carry = kTrace ? a.carry[i] : 0.0f, decay = kTrace ? a.decay[i] : 0.0f;
    int64_t e = a.indptr[i];
    const int64_t stop = a.indptr[i + 1];
    for (; e + 8 <= stop; e += 8) {
      const __m256i at = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.indices + e));
      const __m256 right = _mm256_i32gather_ps(a.right, at, 4);
      __m256 gradient = _mm256_mul_ps(_mm256_set1_ps(left), right);
      if (kTrace) {
        const __m256 trace = LoadEight(a.trace + e), added = _mm256_mul_ps(_mm256_set1_ps(trace_left), right);
        gradient = _mm256_fmadd_ps(_mm256_set1_ps(carry), trace, gradient);
        StoreEight(a.new_trace + e, _mm256_fmadd_ps(_mm256_set1_ps(decay), trace, added));
      }
      _mm256_storeu_ps(a.gradient + e, gradient);
    }
    for (; e < stop; ++e) {
      const float right = a.right[a.indices[e]];
      float gradient = left * right;
      if (kTrace) {
        const float trace = ToFloat(a.trace[e]);
        gradient += carry * trace;
        a.new_trace[e] = FromFloat<Trace>(decay * trace + trace_left * right);
      }
      a.gradient[e] = gradient;
    }
  }
}

template <int K, bool kTrace, bool kSingle, typename Trace>
CONNFIT_AVX2 void WindowOuterAvx2Steps(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  // About 1,024 numbers ahead: 64 connections at 16 steps.
  const int64_t stride = std::max<int64_t>(1, a.batch * a.steps);
  const int64_t distance = std::clamp<int64_t>(1024 / stride, 8, 128);
  for (int64_t i = begin; i < end; ++i) {
    int64_t e = a.indptr[i];
    const int64_t stop = a.indptr[i + 1];
    for (; e + 8 <= stop; e += 8) {
      WindowOuterEight<K, kTrace, kSingle, true>(a, i, e, 8, a.indices + std::min(e + distance, a.nnz - 8));
    }
    if (e < stop) WindowOuterEight<K, kTrace, kSingle, false>(a, i, e, stop - e, nullptr);
  }
}

template <bool kTrace, bool kSingle, typename Trace>
void WindowOuterAvx2(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  if (kSingle && a.steps == 1) return WindowOuterAvx2One<kTrace>(a, begin, end);
  switch (a.steps) {
    case 8: return WindowOuterAvx2Steps<8, kTrace, kSingle>(a, begin, end);
    case 16: return WindowOuterAvx2Steps<16, kTrace, kSingle>(a, begin, end);
    case 32: return WindowOuterAvx2Steps<32, kTrace, kSingle>(a, begin, end);
    default: return WindowOuterAvx2Steps<0, kTrace, kSingle>(a, begin, end);
  }
}
#endif

template <typename Pool, typename Trace>
void WindowOuter(Pool& pool, const WindowOuterArgs<Trace>& a) {
  const int64_t chunks = ChunkCount(a.nnz * (1 + a.batch * a.steps / 16));
  ParallelFor(pool, chunks, [&](int64_t c) {
    const int64_t begin = RowCut(a.indptr, a.rows, c, chunks), end = RowCut(a.indptr, a.rows, c + 1, chunks);
#ifdef CONNFIT_X86
    if (CurrentIsa() == Isa::avx2) {
      if (a.trace == nullptr) return WindowOuterAvx2<false, true>(a, begin, end);
      if (a.batch == 1) return WindowOuterAvx2<true, true>(a, begin, end);
      return WindowOuterAvx2<true, false>(a, begin, end);
    }
#endif
    WindowOuterRows(a, begin, end);
  });
}

}  // namespace connfit
