// One step of all neurons of a compiled cell.
#pragma once

#include <algorithm>

#include "simd.h"
#include "threads.h"

namespace connfit {

struct CellStepArgs {
  const float* theta;          // [numbers of the cell, rows]
  const float* options;        // of the cell
  const float* const* states;  // of each state [rows, batch]
  const float* received;       // [rows, batch]
  float* const* after;         // of each state; may be the same memory as `states`
  float* spiked;               // [rows, batch] 1 where the states before the step make a spike; null: not asked for
  int64_t rows, batch;
};

// The numbers of the W lanes from `lane` on, of `rows` neurons in `batch` recordings; those beyond `count` are 0.
template <typename Cell, int W>
CONNFIT_INLINE typename Cell::template Numbers<W> NumbersOf(const float* theta, int64_t rows, int64_t batch,
                                                            int64_t lane, int64_t count) {
  typename Cell::template Numbers<W> found;
  if (batch == 1 && count >= W) {
    Unrolled<Cell::kNumbers>([&](auto n) CONNFIT_BODY { found.of[n] = Load<W>(theta + n * rows + lane); });
    return found;
  }
  const int64_t there = std::min<int64_t>(count, W);
  int64_t neuron[W], row = lane / batch, b = lane % batch;
  if (b + W <= batch) {
    Unrolled<Cell::kNumbers>([&](auto n) CONNFIT_BODY { found.of[n] = Vector<W>{} + theta[n * rows + row]; });
    return found;
  }
  for (int64_t z = 0; z < there; ++z) {
    neuron[z] = row;
    if (++b == batch) b = 0, ++row;
  }
  float some[W] = {};
  Unrolled<Cell::kNumbers>([&](auto n) CONNFIT_BODY {
    for (int64_t z = 0; z < there; ++z) some[z] = theta[n * rows + neuron[z]];
    found.of[n] = Load<W>(some);
  });
  return found;
}

template <typename Cell, int W>
CONNFIT_INLINE void StepLanes(const Cell& cell, const CellStepArgs& a, int64_t lane) {
  const auto theta = NumbersOf<Cell, W>(a.theta, a.rows, a.batch, lane, W);
  typename Cell::template States<W> now;
  Unrolled<Cell::kStates>([&](auto s) CONNFIT_BODY { now.of[s] = Load<W>(a.states[s] + lane); });
  const auto spike = cell.Spike(theta, now);
  const auto next = cell.Step(theta, now, spike, Load<W>(a.received + lane));
  if (a.spiked != nullptr) Store<W>(a.spiked + lane, spike);
  Unrolled<Cell::kStates>([&](auto s) CONNFIT_BODY { Store<W>(a.after[s] + lane, next.of[s]); });
}

template <typename Cell>
CONNFIT_INLINE void CellStepBody(const CellStepArgs& a, int64_t begin, int64_t end) {
  const Cell cell(a.options);
  int64_t lane = begin;
  for (; lane + 8 <= end; lane += 8) StepLanes<Cell, 8>(cell, a, lane);
  for (; lane < end; ++lane) StepLanes<Cell, 1>(cell, a, lane);
}

#ifdef CONNFIT_X86
template <typename Cell>
CONNFIT_AVX2 void CellStepAvx2(const CellStepArgs& a, int64_t begin, int64_t end) {
  CellStepBody<Cell>(a, begin, end);
}
#endif

// The lanes begin ... end - 1.
template <typename Cell>
void StepSome(const CellStepArgs& a, int64_t begin, int64_t end) {
#ifdef CONNFIT_X86
  if (CurrentIsa() == Isa::avx2) return CellStepAvx2<Cell>(a, begin, end);
#endif
  CellStepBody<Cell>(a, begin, end);
}

// Where states make a spike, of the lanes begin ... end - 1.
template <typename Cell>
CONNFIT_INLINE void SpikesBody(const CellStepArgs& a, int64_t begin, int64_t end) {
  const Cell cell(a.options);
  const auto some = [&](auto width, int64_t lane) CONNFIT_BODY {
    constexpr int W = decltype(width)::value;
    typename Cell::template States<W> now;
    Unrolled<Cell::kStates>([&](auto s) CONNFIT_BODY { now.of[s] = Load<W>(a.states[s] + lane); });
    Store<W>(a.spiked + lane, cell.Spike(NumbersOf<Cell, W>(a.theta, a.rows, a.batch, lane, W), now));
  };
  int64_t lane = begin;
  for (; lane + 8 <= end; lane += 8) some(std::integral_constant<int, 8>(), lane);
  for (; lane < end; ++lane) some(std::integral_constant<int, 1>(), lane);
}

#ifdef CONNFIT_X86
template <typename Cell>
CONNFIT_AVX2 void SpikesAvx2(const CellStepArgs& a, int64_t begin, int64_t end) {
  SpikesBody<Cell>(a, begin, end);
}
#endif

template <typename Cell, typename Pool>
void FindSpikes(Pool& pool, const CellStepArgs& a) {
  const int64_t lanes = a.rows * a.batch, chunks = std::clamp<int64_t>(lanes / 16384, 1, 16);
  ParallelFor(pool, chunks, [&](int64_t c) {
    const int64_t begin = lanes * c / chunks, end = lanes * (c + 1) / chunks;
#ifdef CONNFIT_X86
    if (CurrentIsa() == Isa::avx2) return SpikesAvx2<Cell>(a, begin, end);
#endif
    SpikesBody<Cell>(a, begin, end);
  });
}

template <typename Cell, typename Pool>
void CellStep(Pool& pool, const CellStepArgs& a) {
  const int64_t lanes = a.rows * a.batch, chunks = std::clamp<int64_t>(lanes / 16384, 1, 16);
  ParallelFor(pool, chunks, [&](int64_t c) { StepSome<Cell>(a, lanes * c / chunks, lanes * (c + 1) / chunks); });
}

}  // namespace connfit
