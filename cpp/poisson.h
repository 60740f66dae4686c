// External Poisson events: how many each neuron gets in a step, from its number and the clock of its run alone.
//
// `connfit.models.ops.poisson_counts` says the same in XLA, bit for bit.
#pragma once

#include <algorithm>

#include "simd.h"
#include "threads.h"

namespace connfit {

struct PoissonArgs {
  const uint32_t* stream;      // [batch] of each run
  const uint32_t* step;        // [batch]
  const uint32_t* first;       // number of the first neuron
  const uint32_t* thresholds;  // [levels], falling; a neuron gets as many events as its number lies below
  uint8_t* counts;             // [rows, batch]
  int64_t rows, batch, levels;
};

template <int W>
struct WordsOf {
  typedef uint32_t type __attribute__((vector_size(W * 4), aligned(4), may_alias));
  typedef uint8_t bytes __attribute__((vector_size(W)));
};
template <int W>
using Words = typename WordsOf<W>::type;

// A bijection of 32 bits in which each bit of the result depends on each that is given (Wellons, hash-prospector).
template <typename T>
CONNFIT_INLINE T Mixed(T x) {
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  x *= 0xd35a2d97u;
  return x ^ (x >> 15);
}

// What draws the numbers of a run's step.
struct PoissonKeys {
  uint32_t inner, outer;

  static CONNFIT_INLINE PoissonKeys Of(uint32_t stream, uint32_t step) {
    return {Mixed(Mixed(step) ^ stream), Mixed(Mixed(stream + 0x9e3779b9u) + step)};
  }
};

// How many events those get who have drawn these numbers.
template <typename V>
CONNFIT_INLINE V EventsOf(const PoissonArgs& a, V drawn) {
  constexpr int kAtOnce = 4;
  V found{};
  int64_t level = 0;
  for (; level + kAtOnce <= a.levels; level += kAtOnce) {
    const V before = found;
    for (int z = 0; z < kAtOnce; ++z) found -= reinterpret_cast<V>(drawn < a.thresholds[level + z]);
    // Thresholds fall: where nobody lies below the last, nobody lies below the next.
    const V full = reinterpret_cast<V>(found - before == kAtOnce);
    uint64_t any[sizeof(V) / 8];
    std::memcpy(any, &full, sizeof any);
    if ((any[0] | any[1] | any[2] | any[3]) == 0) break;
  }
  if (level + kAtOnce > a.levels) {
    for (; level < a.levels; ++level) found -= reinterpret_cast<V>(drawn < a.thresholds[level]);
  }
  return found;
}

// The counts of the neurons begin ... end - 1, in eight neurons at a time of few runs, in eight of many runs at a time.
CONNFIT_INLINE void PoissonCountsBody(const PoissonArgs& a, int64_t begin, int64_t end) {
  constexpr int64_t W = 8;
  using V = Words<W>;
  const auto write = [&](V found, uint8_t* to, int64_t count, int64_t step) CONNFIT_BODY {
    const auto bytes = __builtin_convertvector(found, WordsOf<W>::bytes);
    uint8_t counts[W];
    std::memcpy(counts, &bytes, W);
    if (step == 1 && count >= W) {
      std::memcpy(to, counts, W);
    } else {
      for (int64_t z = 0; z < std::min(count, W); ++z) to[z * step] = counts[z];
    }
  };
  const uint32_t neuron = a.first[0];
  for (int64_t first = 0; first < a.batch; first += W) {
    const int64_t some = std::min(W, a.batch - first);
    V inner{}, outer{};
    for (int64_t b = 0; b < some; ++b) {
      const PoissonKeys keys = PoissonKeys::Of(a.stream[first + b], a.step[first + b]);
      inner[b] = keys.inner;
      outer[b] = keys.outer;
    }
    if (some == W) {
      for (int64_t row = begin; row < end; ++row) {
        const V drawn = Mixed(Mixed(inner ^ (neuron + static_cast<uint32_t>(row))) + outer);
        write(EventsOf(a, drawn), a.counts + row * a.batch + first, W, 1);
      }
      continue;
    }
    for (int64_t b = 0; b < some; ++b) {
      for (int64_t row = begin; row < end; row += W) {
        const V there = V{0, 1, 2, 3, 4, 5, 6, 7} + (neuron + static_cast<uint32_t>(row));
        const V drawn = Mixed(Mixed(there ^ inner[b]) + outer[b]);
        write(EventsOf(a, drawn), a.counts + row * a.batch + first + b, end - row, a.batch);
      }
    }
  }
}

CONNFIT_FOR_EACH_ISA(PoissonCountsBody, PoissonArgs)

template <typename Pool>
void PoissonCounts(Pool& pool, const PoissonArgs& a) {
  const int64_t chunks = std::clamp<int64_t>(a.rows * a.batch / 16384, 1, 16);
  ParallelFor(pool, chunks,
              [&](int64_t c) { PoissonCountsBodyBest(a, a.rows * c / chunks, a.rows * (c + 1) / chunks); });
}

}  // namespace connfit
