// Gradients and traces of the connections of a few rows, where what is sent is a spike: once a window, by lists.
#pragma once

#include "bfloat16.h"
#include "events.h"

namespace connfit {

// What a spike at a step brings to a connection, side by side: to the gradient, to each of S traces, and zeros.
template <int S>
struct Brings {
  static constexpr int kGroups = (S + 4) / 4, kWidth = 4 * kGroups;

  // Writes those of step t and of W lanes, to [lanes, steps, kWidth].
  template <int W>
  static CONNFIT_INLINE void Write(const float (&found)[1 + S][W], int64_t steps, int64_t t, float* table) {
    static_assert(W % 4 == 0, "lanes are written by fours");
    for (int z = 0; z < W; z += 4) {
      float* to = table + (z * steps + t) * kWidth;
      Unrolled<kGroups>([&](auto g) CONNFIT_BODY {
        Vector<4> rows[4] = {};
        Unrolled<4>([&](auto k) CONNFIT_BODY {
          if constexpr (4 * g + k <= S) rows[k] = Load<4>(found[4 * g + k] + z);
        });
        Transpose(rows);
        for (int k = 0; k < 4; ++k) Store<4>(to + 4 * g + k * steps * kWidth, rows[k]);
      });
    }
  }
};

template <typename Trace>
struct ConnectionArgs {
  const int32_t *indptr, *indices;
  const Trace* trace;  // [S, nnz, batch]; may be the same memory as new_trace
  const float* carry;  // [lanes, S]
  const float* decay;  // [lanes, S, S]
  const float* table;  // `Brings`
  float* gradient;
  Trace* new_trace;
  int64_t nnz, batch, steps;
  Events events;
};

// Sixteen numbers of the `left` that there are, of which each is `step` from the last.
template <typename Trace>
CONNFIT_INLINE Vector<16> LoadTraces(const Trace* from, int64_t left, int64_t step) {
  float found[16] = {};
  if (step == 1 && left >= 16) {
    for (int z = 0; z < 16; ++z) found[z] = ToFloat(from[z]);
  } else {
    for (int64_t z = 0; z < std::min<int64_t>(left, 16); ++z) found[z] = ToFloat(from[z * step]);
  }
  return Load<16>(found);
}

template <typename Trace>
CONNFIT_INLINE void StoreTraces(Trace* to, int64_t count, int64_t step, const float* from) {
  int64_t z = 0;
  for (; step == 1 && z + 16 <= count; z += 16) {
    for (int k = 0; k < 16; ++k) to[z + k] = FromFloat<Trace>(from[z + k]);
  }
  for (; z < count; ++z) to[z * step] = FromFloat<Trace>(from[z]);
}

// Of `rows` rows, the first of which `a.indptr` begins with. `Cell` says which states act on which.
template <typename Cell, typename Trace>
CONNFIT_INLINE void ConnectionsBody(const ConnectionArgs<Trace>& a, int64_t rows) {
  constexpr int S = Cell::kTraced, P = Brings<S>::kWidth;
  constexpr int64_t kTile = 128;
  const int64_t batch = a.batch;
  float gradient[kTile], kept[S][kTile];
  int32_t first_event[kTile], last_event[kTile];
  uint8_t hit[kTile];
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t first = a.indptr[i]; first < a.indptr[i + 1]; first += kTile) {
      const int64_t count = std::min<int64_t>(kTile, a.indptr[i + 1] - first);
      const int64_t there = a.indptr[rows] - first;  // a vector may go on into rows that follow
      std::fill(gradient, gradient + kTile, 0.0f);
      // The tile after the next: more streams than the processor follows by itself.
      for (int64_t z = 2 * kTile; z < 2 * kTile + count; z += 16) {
        __builtin_prefetch(a.indices + first + z);
        __builtin_prefetch(a.gradient + first + z, 1);
        for (int s = 0; s < S; ++s) {
          for (int64_t b = 0; b < batch; ++b) __builtin_prefetch(a.trace + (s * a.nnz + first + z) * batch + 16 * b, 1);
        }
      }
      for (int64_t b = 0; b < batch; ++b) {
        const int64_t lane = i * batch + b;
        const float *carry = a.carry + lane * S, *decay = a.decay + lane * S * S;
        for (int64_t z = 0; z < count; z += 16) {
          Vector<16> before[S], sum = Load<16>(gradient + z);
          for (int s = 0; s < S; ++s) {
            before[s] = LoadTraces(a.trace + (s * a.nnz + first + z) * batch + b, there - z, batch);
            sum += carry[s] * before[s];
          }
          Store<16>(gradient + z, sum);
          for (int s = 0; s < S; ++s) {
            Vector<16> stays{};
            for (int q = 0; q < S; ++q) {
              if (Cell::Reaches(s, q)) stays += decay[s * S + q] * before[q];
            }
            Store<16>(kept[s] + z, stays);
          }
        }
        int64_t hits = 0;
        for (int64_t z = 0; z < count; ++z) {
          const int64_t source = static_cast<int64_t>(a.indices[first + z]) * batch + b;
          first_event[hits] = a.events.starts[source];
          last_event[hits] = a.events.starts[source + 1];
          hit[hits] = static_cast<uint8_t>(z);
          hits += last_event[hits] != first_event[hits];
        }
        const float* table = a.table + lane * a.steps * P;
        for (int64_t h = 0; h < hits; ++h) {
          Vector<P> sum{};
          for (int32_t n = first_event[h]; n < last_event[h]; ++n) {
            sum += Load<P>(table + static_cast<int64_t>(a.events.steps[n]) * P) * a.events.values[n];
          }
          const int64_t z = hit[h];
          gradient[z] += sum[0];
          for (int s = 0; s < S; ++s) kept[s][z] += sum[1 + s];
        }
        for (int s = 0; s < S; ++s) {
          StoreTraces(a.new_trace + (s * a.nnz + first) * batch + b, count, batch, kept[s]);
        }
      }
      std::copy(gradient, gradient + count, a.gradient + first);
    }
  }
}

}  // namespace connfit
