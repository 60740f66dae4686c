// The sums of window_outer.h where every column connects to every row:
//   gradient[i, j]         = sum over b of ( sum over s of carry[i, b, s] trace[s, i, b, j]
//                                            + sum over k of left[i, b, k] right[b, k, j] )
//   new_trace[s, i, b, j]  = sum over q of decay[i, b, s, q] trace[q, i, b, j]
//                            + sum over k of trace_left[i, b, s, k] right[b, k, j]
// One pass over traces and gradients; `right` is small and stays in the cache.
#pragma once

#include "bfloat16.h"
#include "simd.h"
#include "threads.h"
#include "window_outer.h"

namespace connfit {

template <typename Trace>
struct DenseOuterArgs {
  const Trace* trace;       // [states, rows, batch, columns]; may be the same memory as new_trace
  const float* carry;       // [rows, batch, states]
  const float* decay;       // [rows, batch, states, states]
  const float* left;        // [rows, batch, steps]
  const float* trace_left;  // [rows, batch, states, steps]
  const float* right;       // [batch, steps, columns]
  float* gradient;          // [rows, columns]
  Trace* new_trace;         // [states, rows, batch, columns]
  int64_t rows, batch, steps, columns, states;
  int64_t plane;  // numbers in the traces of one state

  // The rows begin ... end - 1 alone; what each row brings along starts at row `first`.
  DenseOuterArgs Part(int64_t first, int64_t begin, int64_t end) const {
    DenseOuterArgs part = *this;
    part.trace += begin * batch * columns;
    part.new_trace += begin * batch * columns;
    part.gradient += begin * columns;
    SkipRows(part, (begin - first) * batch);
    part.rows = end - begin;
    return part;
  }
};

// Columns first ... first + 8 V - 1 of one row. S is the number of states if known when compiling, else negative.
template <int S, int V, typename Trace>
CONNFIT_INLINE void DenseOuterBlock(const DenseOuterArgs<Trace>& a, int64_t i, int64_t first) {
  constexpr int W = 8, kRoom = S < 0 ? kMostStates : S;
  const int64_t states = S < 0 ? a.states : S, plane = a.plane;
  Vector<W> gradient[V] = {};
  for (int64_t b = 0; b < a.batch; ++b) {
    const int64_t row = i * a.batch + b;
    const float* left = a.left + row * a.steps;
    const float* trace_left = a.trace_left + row * states * a.steps;
    const float* right = a.right + b * a.steps * a.columns + first;
    Vector<W> later[kRoom][V] = {};
    for (int64_t k = 0; k < a.steps; ++k) {
      for (int v = 0; v < V; ++v) {
        const Vector<W> source = Load<W>(right + k * a.columns + v * W);
        gradient[v] += left[k] * source;
        for (int64_t s = 0; s < states; ++s) later[s][v] += trace_left[s * a.steps + k] * source;
      }
    }
    const int64_t at = row * a.columns + first;
    for (int v = 0; v < V; ++v) {
      Vector<W> trace[kRoom];
      for (int64_t s = 0; s < states; ++s) {
        for (int z = 0; z < W; ++z) trace[s][z] = ToFloat(a.trace[s * plane + at + v * W + z]);
        gradient[v] += a.carry[row * states + s] * trace[s];
      }
      for (int64_t s = 0; s < states; ++s) {
        const float* decay = a.decay + (row * states + s) * states;
        Vector<W> kept = later[s][v];
        for (int64_t q = 0; q < states; ++q) kept += decay[q] * trace[q];
        for (int z = 0; z < W; ++z) a.new_trace[s * plane + at + v * W + z] = FromFloat<Trace>(kept[z]);
      }
    }
  }
  for (int v = 0; v < V; ++v) Store<W>(a.gradient + i * a.columns + first + v * W, gradient[v]);
}

template <int S, typename Trace>
CONNFIT_INLINE void DenseOuterRows(const DenseOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  constexpr int kRoom = S < 0 ? kMostStates : S;
  const int64_t states = S < 0 ? a.states : S, plane = a.plane;
  // As many sums at once as there are registers for.
  constexpr int V = S == 1 ? 4 : S == 2 ? 3 : 2;
  for (int64_t i = begin; i < end; ++i) {
    int64_t j = 0;
    for (; j + 8 * V <= a.columns; j += 8 * V) DenseOuterBlock<S, V>(a, i, j);
    for (; j + 8 <= a.columns; j += 8) DenseOuterBlock<S, 1>(a, i, j);
    for (; j < a.columns; ++j) {
      float gradient = 0.0f;
      for (int64_t b = 0; b < a.batch; ++b) {
        const int64_t row = i * a.batch + b, at = row * a.columns + j;
        float later[kRoom] = {}, trace[kRoom];
        for (int64_t k = 0; k < a.steps; ++k) {
          const float source = a.right[(b * a.steps + k) * a.columns + j];
          gradient += a.left[row * a.steps + k] * source;
          for (int64_t s = 0; s < states; ++s) later[s] += a.trace_left[(row * states + s) * a.steps + k] * source;
        }
        for (int64_t s = 0; s < states; ++s) {
          trace[s] = ToFloat(a.trace[s * plane + at]);
          gradient += a.carry[row * states + s] * trace[s];
        }
        for (int64_t s = 0; s < states; ++s) {
          float kept = later[s];
          for (int64_t q = 0; q < states; ++q) kept += a.decay[(row * states + s) * states + q] * trace[q];
          a.new_trace[s * plane + at] = FromFloat<Trace>(kept);
        }
      }
      a.gradient[i * a.columns + j] = gradient;
    }
  }
}

template <typename Trace>
CONNFIT_INLINE void DenseOuterAny(const DenseOuterArgs<Trace>& a, int64_t begin, int64_t end) {
  switch (a.states) {
    case 1: return DenseOuterRows<1>(a, begin, end);
    case 2: return DenseOuterRows<2>(a, begin, end);
    case 3: return DenseOuterRows<3>(a, begin, end);
    default: return DenseOuterRows<-1>(a, begin, end);
  }
}

CONNFIT_FOR_EACH_ISA(DenseOuterAny, DenseOuterArgs<float>)
CONNFIT_FOR_EACH_ISA(DenseOuterAny, DenseOuterArgs<Bfloat16>)

template <typename Pool, typename Trace>
void DenseOuter(Pool& pool, const DenseOuterArgs<Trace>& a) {
  const int64_t chunks = std::min(a.rows, ChunkCount(a.rows * a.columns * (1 + a.batch * a.steps / 16)));
  ParallelFor(pool, chunks, [&](int64_t c) { DenseOuterAnyBest(a, a.rows * c / chunks, a.rows * (c + 1) / chunks); });
}

}  // namespace connfit
