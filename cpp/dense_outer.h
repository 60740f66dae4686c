// The sums of window_outer.h where every column connects to every row:
//   gradient[i, j]      = sum over b of ( carry[i, b] trace[i, b, j] + sum over k of left[i, b, k] right[b, k, j] )
//   new_trace[i, b, j]  = decay[i, b] trace[i, b, j] + sum over k of trace_left[i, b, k] right[b, k, j]
// One pass over traces and gradients; `right` is small and stays in the cache.
#pragma once

#include "bfloat16.h"
#include "simd.h"
#include "threads.h"

namespace connfit {

template <typename Trace>
struct DenseOuterArgs {
  const Trace* trace;       // [rows, batch, columns]; may be the same memory as new_trace
  const float* carry;       // [rows, batch]
  const float* decay;       // [rows, batch]
  const float* left;        // [rows, batch, steps]
  const float* trace_left;  // [rows, batch, steps]
  const float* right;       // [batch, steps, columns]
  float* gradient;          // [rows, columns]
  Trace* new_trace;         // [rows, batch, columns]
  int64_t rows, batch, steps, columns;
};

// Columns first ... first + 8 V - 1 of one row.
template <int V, typename Trace>
CONNFIT_INLINE void DenseOuterBlock(const DenseOuterArgs<Trace>& a, int64_t i, int64_t first) {
  constexpr int W = 8;
  Vector<W> gradient[V] = {};
  for (int64_t b = 0; b < a.batch; ++b) {
    const float* left = a.left + (i * a.batch + b) * a.steps;
    const float* trace_left = a.trace_left + (i * a.batch + b) * a.steps;
    const float* right = a.right + b * a.steps * a.columns + first;
    Vector<W> later[V] = {};
    for (int64_t k = 0; k < a.steps; ++k) {
      for (int v = 0; v < V; ++v) {
        const Vector<W> source = Load<W>(right + k * a.columns + v * W);
        gradient[v] += left[k] * source;
        later[v] += trace_left[k] * source;
      }
    }
    const int64_t at = (i * a.batch + b) * a.columns + first;
    const float carry = a.carry[i * a.batch + b], decay = a.decay[i * a.batch + b];
    for (int v = 0; v < V; ++v) {
      Vector<W> trace;
      for (int z = 0; z < W; ++z) trace[z] = ToFloat(a.trace[at + v * W + z]);
      gradient[v] += carry * trace;
      const Vector<W> kept = decay * trace + later[v];
      for (int z = 0; z < W; ++z) a.new_trace[at + v * W + z] = FromFloat<Trace>(kept[z]);
    }
  }
  for (int v = 0; v < V; ++v) Store<W>(a.gradient + i * a.columns + first + v * W, gradient[v]);
}

template <typename Trace>
CONNFIT_INLINE void DenseOuterRows(const DenseOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    int64_t j = 0;
    for (; j + 32 <= a.columns; j += 32) DenseOuterBlock<4>(a, i, j);
    for (; j + 8 <= a.columns; j += 8) DenseOuterBlock<1>(a, i, j);
    for (; j < a.columns; ++j) {
      float gradient = 0.0f;
      for (int64_t b = 0; b < a.batch; ++b) {
        const int64_t row = i * a.batch + b;
        float later = 0.0f;
        for (int64_t k = 0; k < a.steps; ++k) {
          const float source = a.right[(b * a.steps + k) * a.columns + j];
          gradient += a.left[row * a.steps + k] * source;
          later += a.trace_left[row * a.steps + k] * source;
        }
        const float trace = ToFloat(a.trace[row * a.columns + j]);
        gradient += a.carry[row] * trace;
        a.new_trace[row * a.columns + j] = FromFloat<Trace>(a.decay[row] * trace + later);
      }
      a.gradient[i * a.columns + j] = gradient;
    }
  }
}

CONNFIT_FOR_EACH_ISA(DenseOuterRows, DenseOuterArgs<float>)
CONNFIT_FOR_EACH_ISA(DenseOuterRows, DenseOuterArgs<Bfloat16>)

template <typename Pool, typename Trace>
void DenseOuter(Pool& pool, const DenseOuterArgs<Trace>& a) {
  const int64_t chunks = std::min(a.rows, ChunkCount(a.rows * a.columns * (1 + a.batch * a.steps / 16)));
  ParallelFor(pool, chunks, [&](int64_t c) { DenseOuterRowsBest(a, a.rows * c / chunks, a.rows * (c + 1) / chunks); });
}

}  // namespace connfit
