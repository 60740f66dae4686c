// One pass over the connections e = (row i, column j):
//   gradient[e]         = sum over b of ( sum over s of carry[i, b, s] trace[s, e, b]
//                                         + sum over k of left[i, b, k] right[j, b, k] )
//   new_trace[s, e, b]  = sum over q of decay[i, b, s, q] trace[q, e, b]
//                         + sum over k of trace_left[i, b, s, k] right[j, b, k]
// for s, q = 1 ... S states of a neuron and, without a trace, gradient[e] = sum over k of left[i, k] right[j, k].
#pragma once

#include "bfloat16.h"
#include "matvec.h"
#include "simd.h"
#include "threads.h"
#include "window_events.h"

namespace connfit {

// More states of a neuron than that are refused.
constexpr int kMostStates = 16;

// What each row brings along, without the first `skipped` rows times batch.
template <typename Args>
void SkipRows(Args& args, int64_t skipped) {
  args.carry += skipped * args.states;
  args.decay += skipped * args.states * args.states;
  args.left += skipped * args.steps;
  args.trace_left += skipped * args.states * args.steps;
}

// Trace: float or Bfloat16.
template <typename Trace>
struct WindowOuterArgs {
  const int32_t* indptr;
  const int32_t* indices;
  const Trace* trace;       // [states, nnz, batch]; may be the same memory as new_trace; null without a trace
  const float* carry;       // [rows, batch, states]
  const float* decay;       // [rows, batch, states, states]
  const float* left;        // [rows, batch, steps]
  const float* trace_left;  // [rows, batch, states, steps]
  const float* right;       // [columns, batch, steps]
  float* gradient;          // [nnz]
  Trace* new_trace;         // [states, nnz, batch]
  int64_t rows, nnz, batch, steps;
  int64_t states;   // 0 without a trace
  Events events{};  // what is not 0 of `right`, if that is little

  CONNFIT_INLINE const float* Left(int64_t row) const { return left + row * steps; }
  CONNFIT_INLINE const float* TraceLeft(int64_t row, int s) const { return trace_left + (row * states + s) * steps; }
  CONNFIT_INLINE int64_t Stride() const { return 1; }

  // The rows begin ... end - 1 alone; what each row brings along starts at row `first`.
  WindowOuterArgs Part(int64_t first, int64_t begin, int64_t end) const {
    WindowOuterArgs part = *this;
    part.indptr += begin;
    SkipRows(part, (begin - first) * batch);
    part.rows = end - begin;
    return part;
  }
};

CONNFIT_INLINE float Sum(Vector<8> v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

// The plain form, any shape. S is the number of states if known when compiling, else negative.
template <int S, typename Trace>
void WindowOuterRows(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  constexpr int kRoom = S < 0 ? kMostStates : S + (S == 0);
  const int64_t states = S < 0 ? a.states : S;
  const int64_t steps = a.steps, stride = a.batch * steps, plane = a.nnz * a.batch;
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t e = a.indptr[i]; e < a.indptr[i + 1]; ++e) {
      const float* soon = a.right + a.indices[std::min(e + 24, a.nnz - 1)] * stride;
      for (int64_t k = 0; k < stride; k += 16) __builtin_prefetch(soon + k);
      float gradient = 0.0f;
      for (int64_t b = 0; b < a.batch; ++b) {
        const int64_t row = i * a.batch + b, at = e * a.batch + b;
        const float* left = a.left + row * steps;
        const float* trace_left = a.trace_left + row * states * steps;
        const float* right = a.right + a.indices[e] * stride + b * steps;
        Vector<8> now = {}, later[kRoom] = {};
        int64_t k = 0;
        for (; k + 8 <= steps; k += 8) {
          const Vector<8> source = Load<8>(right + k);
          now += Load<8>(left + k) * source;
          for (int64_t s = 0; s < states; ++s) later[s] += Load<8>(trace_left + s * steps + k) * source;
        }
        float sum_now = Sum(now), sum_later[kRoom];
        for (int64_t s = 0; s < states; ++s) sum_later[s] = Sum(later[s]);
        for (; k < steps; ++k) {
          sum_now += left[k] * right[k];
          for (int64_t s = 0; s < states; ++s) sum_later[s] += trace_left[s * steps + k] * right[k];
        }
        gradient += sum_now;
        float trace[kRoom];
        for (int64_t s = 0; s < states; ++s) trace[s] = ToFloat(a.trace[s * plane + at]);
        for (int64_t s = 0; s < states; ++s) {
          gradient += a.carry[row * states + s] * trace[s];
          const float* decay = a.decay + (row * states + s) * states;
          float kept = sum_later[s];
          for (int64_t q = 0; q < states; ++q) kept += decay[q] * trace[q];
          a.new_trace[s * plane + at] = FromFloat<Trace>(kept);
        }
      }
      a.gradient[e] = gradient;
    }
  }
}

#ifdef CONNFIT_X86
// Up to eight connections of one row at once: a vector of partial sums for each, transposed into
// one sum per lane at the end. K is the number of steps if known when compiling, else 0; the rows of
// `right` are scattered over memory and therefore asked for well before they are needed.
template <int K, int S, bool kSingle, bool kFull, typename Trace>
CONNFIT_AVX2 CONNFIT_INLINE void WindowOuterEight(const WindowOuterArgs<Trace>& a, int64_t i, int64_t e, int64_t count,
                                                  const int32_t* ahead) {
  const int64_t steps = K == 0 ? a.steps : K;
  const int64_t batch = kSingle ? 1 : a.batch, stride = batch * steps, plane = a.nnz * batch;
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
  if (kFull) {
    // Each line of 16 numbers is asked for once or twice, for connections come by eights from anywhere.
    constexpr int64_t kAhead = 128;
    __builtin_prefetch(a.indices + e + kStreamAhead);
    __builtin_prefetch(a.gradient + e + kAhead, 1);
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) {
      const Trace* soon = a.trace + s * plane + e * batch + kAhead;
      for (int64_t z = 0; z < 8 * batch; z += 16) __builtin_prefetch(soon + z);
    }
  }
  __m256 gradient = _mm256_setzero_ps();
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t row = i * batch + b;
    const float* left = a.left + row * steps;
    const float* trace_left = a.trace_left + row * S * steps;
    // Sums are transposed pair by pair, which keeps them in registers.
    __m256 now[4], later[S + 1][4];
#pragma GCC unroll 4
    for (int pair = 0; pair < 4; ++pair) {
      __m256 x[2], y[S + 1][2];
#pragma GCC unroll 2
      for (int one = 0; one < 2; ++one) {
        const float* from = right[2 * pair + one] + b * steps;
        x[one] = _mm256_setzero_ps();
#pragma GCC unroll 4
        for (int s = 0; s < S; ++s) y[s][one] = _mm256_setzero_ps();
        for (int64_t k = 0; k < whole; k += 8) {
          const __m256 source = _mm256_loadu_ps(from + k);
          x[one] = _mm256_fmadd_ps(_mm256_loadu_ps(left + k), source, x[one]);
#pragma GCC unroll 4
          for (int s = 0; s < S; ++s) {
            y[s][one] = _mm256_fmadd_ps(_mm256_loadu_ps(trace_left + s * steps + k), source, y[s][one]);
          }
        }
        if (K == 0 && whole < steps) {
          const __m256 source = _mm256_maskload_ps(from + whole, tail);
          x[one] = _mm256_fmadd_ps(_mm256_maskload_ps(left + whole, tail), source, x[one]);
#pragma GCC unroll 4
          for (int s = 0; s < S; ++s) {
            const __m256 factor = _mm256_maskload_ps(trace_left + s * steps + whole, tail);
            y[s][one] = _mm256_fmadd_ps(factor, source, y[s][one]);
          }
        }
      }
      now[pair] = _mm256_hadd_ps(x[0], x[1]);
#pragma GCC unroll 4
      for (int s = 0; s < S; ++s) later[s][pair] = _mm256_hadd_ps(y[s][0], y[s][1]);
    }
    gradient = _mm256_add_ps(gradient, SumPairs(now));
    if (S == 0) continue;
    __m256 trace[S + 1];
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) {
      const Trace* from = a.trace + s * plane + e * batch + b;
      if (kSingle) {
        trace[s] = kFull ? LoadEight(from) : LoadFirst(from, lanes, count);
      } else {
        alignas(32) float eight[8] = {};
        for (int64_t z = 0; z < count; ++z) eight[z] = ToFloat(from[z * batch]);
        trace[s] = _mm256_load_ps(eight);
      }
      gradient = _mm256_fmadd_ps(_mm256_set1_ps(a.carry[row * S + s]), trace[s], gradient);
    }
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) {
      __m256 kept = SumPairs(later[s]);
#pragma GCC unroll 4
      for (int q = 0; q < S; ++q) {
        kept = _mm256_fmadd_ps(_mm256_set1_ps(a.decay[(row * S + s) * S + q]), trace[q], kept);
      }
      Trace* to = a.new_trace + s * plane + e * batch + b;
      if (kSingle && kFull) {
        StoreEight(to, kept);
      } else if (kSingle) {
        StoreFirst(to, count, kept);
      } else {
        alignas(32) float eight[8];
        _mm256_store_ps(eight, kept);
        for (int64_t z = 0; z < count; ++z) to[z * batch] = FromFloat<Trace>(eight[z]);
      }
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

template <int K, int S, bool kSingle, typename Trace>
CONNFIT_AVX2 void WindowOuterAvx2Steps(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  // About 1,024 numbers ahead: 64 connections at 16 steps.
  const int64_t stride = std::max<int64_t>(1, a.batch * a.steps);
  const int64_t distance = std::clamp<int64_t>(1024 / stride, 8, 128);
  for (int64_t i = begin; i < end; ++i) {
    int64_t e = a.indptr[i];
    const int64_t stop = a.indptr[i + 1];
    for (; e + 8 <= stop; e += 8) {
      WindowOuterEight<K, S, kSingle, true>(a, i, e, 8, a.indices + std::min(e + distance, a.nnz - 8));
    }
    if (e < stop) WindowOuterEight<K, S, kSingle, false>(a, i, e, stop - e, nullptr);
  }
}

template <int S, bool kSingle, typename Trace>
void WindowOuterAvx2(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  if (kSingle && S < 2 && a.steps == 1) return WindowOuterAvx2One<(S == 1)>(a, begin, end);
  switch (a.steps) {
    case 8: return WindowOuterAvx2Steps<8, S, kSingle>(a, begin, end);
    case 16: return WindowOuterAvx2Steps<16, S, kSingle>(a, begin, end);
    case 32: return WindowOuterAvx2Steps<32, S, kSingle>(a, begin, end);
    default: return WindowOuterAvx2Steps<0, S, kSingle>(a, begin, end);
  }
}
#endif

// The rows of a chunk for S states, 0 to 3; with more, or without AVX2, in the plain form.
template <int S, typename Trace>
void WindowOuterChunk(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
#ifdef CONNFIT_X86
  if (CurrentIsa() == Isa::avx2) {
    if (S == 0 || a.batch == 1) return WindowOuterAvx2<S, true>(a, begin, end);
    return WindowOuterAvx2<S, false>(a, begin, end);
  }
#endif
  WindowOuterRows<S>(a, begin, end);
}

// States of a neuron up to which sums go through lists of spikes.
constexpr int64_t kMostStatesOfEvents = 4;

// The same by lists of spikes.
template <typename Trace>
void WindowEventsChunk(const WindowOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  switch (a.states) {
    case 0: return WindowEvents<0>(a, begin, end);
    case 1: return WindowEvents<1>(a, begin, end);
    case 2: return WindowEvents<2>(a, begin, end);
    case 3: return WindowEvents<3>(a, begin, end);
    default: return WindowEvents<kMostStatesOfEvents>(a, begin, end);
  }
}

template <typename Pool, typename Trace>
void WindowOuter(Pool& pool, const WindowOuterArgs<Trace>& a) {
  const int64_t connections = a.indptr[a.rows] - a.indptr[0];
  if (a.events.Usable() && a.states <= kMostStatesOfEvents) {
    const int64_t chunks = ChunkCount(connections * (1 + a.batch));
    return ParallelFor(pool, chunks, [&](int64_t c) {
      WindowEventsChunk(a, RowCut(a.indptr, a.rows, c, chunks), RowCut(a.indptr, a.rows, c + 1, chunks));
    });
  }
  const int64_t chunks = ChunkCount(connections * (1 + a.batch * a.steps / 16));
  ParallelFor(pool, chunks, [&](int64_t c) {
    const int64_t begin = RowCut(a.indptr, a.rows, c, chunks), end = RowCut(a.indptr, a.rows, c + 1, chunks);
    switch (a.states) {
      case 0: return WindowOuterChunk<0>(a, begin, end);
      case 1: return WindowOuterChunk<1>(a, begin, end);
      case 2: return WindowOuterChunk<2>(a, begin, end);
      case 3: return WindowOuterChunk<3>(a, begin, end);
      default: return WindowOuterRows<-1>(a, begin, end);
    }
  });
}

}  // namespace connfit
