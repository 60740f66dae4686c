// One step of all neurons of a compiled cell.
#pragma once

#include <algorithm>
#include <vector>

#include "simd.h"
#include "threads.h"

namespace connfit {

struct CellStepArgs {
  const float* theta;          // [numbers of the cell, rows]
  const float* options;        // of the cell
  const float* const* states;  // of each state [rows, batch]
  const float* received;       // [rows, batch]
  float* const* after;         // of each state; may be the same memory as `states`
  int64_t rows, batch;
};

template <typename Cell>
CONNFIT_INLINE void CellStepBody(const CellStepArgs& a, int64_t begin, int64_t end) {
  const int64_t rows = std::max<int64_t>(1, 256 / a.batch), lanes = rows * a.batch;
  Cell cell(a.options);
  std::vector<float> spikes(lanes), theta(a.batch == 1 ? 0 : Cell::kNumbers * lanes);
  for (int64_t row = begin; row < end; row += rows) {
    const int64_t count = std::min(rows, end - row) * a.batch, first = row * a.batch;
    cell.theta = a.theta + row;
    cell.stride = a.rows;
    if (a.batch != 1) {
      for (int n = 0; n < Cell::kNumbers; ++n) {
        for (int64_t z = 0; z < count; ++z) theta[n * lanes + z] = a.theta[n * a.rows + row + z / a.batch];
      }
      cell.theta = theta.data();
      cell.stride = lanes;
    }
    const float* now[Cell::kStates];
    float* next[Cell::kStates];
    for (int s = 0; s < Cell::kStates; ++s) {
      now[s] = a.states[s] + first;
      next[s] = a.after[s] + first;
    }
    cell.Spike(now, count, spikes.data());
    cell.Step(now, spikes.data(), a.received + first, count, next);
  }
}

#ifdef CONNFIT_X86
template <typename Cell>
CONNFIT_AVX2 void CellStepAvx2(const CellStepArgs& a, int64_t begin, int64_t end) {
  CellStepBody<Cell>(a, begin, end);
}
#endif

template <typename Cell, typename Pool>
void CellStep(Pool& pool, const CellStepArgs& a) {
  const int64_t chunks = std::clamp<int64_t>(a.rows * a.batch / 16384, 1, 16);
  ParallelFor(pool, chunks, [&](int64_t c) {
    const int64_t begin = a.rows * c / chunks, end = a.rows * (c + 1) / chunks;
#ifdef CONNFIT_X86
    if (CurrentIsa() == Isa::avx2) return CellStepAvx2<Cell>(a, begin, end);
#endif
    CellStepBody<Cell>(a, begin, end);
  });
}

}  // namespace connfit
