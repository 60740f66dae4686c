// The whole adjoint of a window for cells that say here what they do in a step and what its derivatives are, with
// errors that travel along each neuron's own states alone: from what neurons received to gradients and traces in one
// pass, so that nothing else of a window is held.
//
// Per neuron and recording (a lane), states are made once more from those before the window; then, back from the last
// step with λ = 0 and Ψ = 1:
//   λ += what read-outs say of the state that they see;   left(t) = B·λ;   trace_left(t) = Ψ B
//   gradient of a number θ += D·λ;   its trace += Ψ D;    λ <- Aᵀ λ;       Ψ <- Ψ A
//   λ and gradients += what a penalty says of the spikes with which the step begins
// and for the connections of the neuron as `WindowOuter`, by lists of spikes.
#pragma once

#include "cell_lanes.h"

namespace connfit {

template <typename Trace>
struct CellWindowArgs {
  LaneArgs lanes;
  const int32_t* indptr;
  const int32_t* indices;
  const Trace* trace;  // [S, nnz, batch]; may be the same memory as new_trace
  float* gradient;     // [nnz]
  Trace* new_trace;    // [S, nnz, batch]
  int64_t nnz;
};

template <typename Cell, typename Trace>
CONNFIT_INLINE void CellRowsBody(const CellWindowArgs<Trace>& a, const Events& events, OfLanes of_lanes, int64_t width,
                                 int64_t begin, int64_t end) {
  constexpr int S = Cell::kTraced;
  const int64_t batch = a.lanes.batch, steps = a.lanes.steps, rows = std::max<int64_t>(1, width / batch);
  const int64_t groups = (rows * batch + width - 1) / width, of_group = width * steps * Brings<S>::kWidth;
  std::vector<float> before(steps * (Cell::kStates + 1) * width), table(groups * of_group);
  for (int64_t row = begin; row < end; row += rows) {
    const int64_t some = std::min(rows, end - row), first = row * batch, last = first + some * batch;
    for (int64_t group = 0, lane = first; lane < last; ++group, lane += width) {
      of_lanes(a.lanes, lane, std::min(width, last - lane), before.data(), table.data() + group * of_group);
    }
    ConnectionsBody<Cell>(ConnectionArgs<Trace>{a.indptr + row, a.indices, a.trace, a.lanes.carry + first * S,
                                                a.lanes.decay + first * S * S, table.data(), a.gradient, a.new_trace,
                                                a.nnz, batch, steps, events},
                          some);
  }
}

template <typename Cell, typename Trace>
void CellRowsPortable(const CellWindowArgs<Trace>& a, const Events& events, int64_t begin, int64_t end) {
  CellRowsBody<Cell>(a, events, LanesPortable<Cell>, 4, begin, end);
}

#ifdef CONNFIT_X86
template <typename Cell, typename Trace>
CONNFIT_AVX2 void CellRowsAvx2(const CellWindowArgs<Trace>& a, const Events& events, int64_t begin, int64_t end) {
  CellRowsBody<Cell>(a, events, LanesAvx2<Cell>, 8, begin, end);
}

template <typename Cell, typename Trace>
CONNFIT_AVX512 void CellRowsAvx512(const CellWindowArgs<Trace>& a, const Events& events, int64_t begin, int64_t end) {
  CellRowsBody<Cell>(a, events, LanesAvx512<Cell>, 16, begin, end);
}
#endif

// The steps at which each channel of a window sends, in memory of its own. Channel c is that of neuron c % neurons, and
// sends `signs[c]` where the neuron's spike arrives.
struct SpikeLists {
  std::vector<int32_t> starts, steps;
  std::vector<float> values;
  Events events{};

  SpikeLists(const uint8_t* arrived, const float* signs, int64_t channels, int64_t neurons, int64_t batch,
             int64_t window)
      : starts(channels * batch + 1, 0) {
    const int64_t count = channels * batch, lanes = neurons * batch;
    const auto each = [&](const auto& found) {
      for (int64_t t = 0; t < window; ++t) {
        ForEachSet(arrived + t * lanes, lanes, [&](int64_t lane) {
          for (int64_t c = lane; c < count; c += lanes) {
            if (const float sign = signs[c / batch]; sign != 0.0f) found(c, t, sign);
          }
        });
      }
    };
    each([&](int64_t c, int64_t, float) { ++starts[c + 1]; });
    for (int64_t c = 0; c < count; ++c) starts[c + 1] += starts[c];
    steps.resize(starts[count] + 1);
    values.resize(starts[count] + 1);
    std::vector<int32_t> next(starts.begin(), starts.end() - 1);
    each([&](int64_t c, int64_t t, float sign) {
      steps[next[c]] = static_cast<int32_t>(t);
      values[next[c]++] = sign;
    });
    events = {starts.data(), steps.data(), values.data(), static_cast<int64_t>(steps.size()), count};
  }
};

template <typename Cell, typename Pool, typename Trace>
void CellWindow(Pool& pool, CellWindowArgs<Trace> a, const uint8_t* arrived, const float* signs, int64_t channels) {
  const int64_t rows = a.lanes.rows, batch = a.lanes.batch, steps = a.lanes.steps, read = a.lanes.units * batch;
  std::vector<uint8_t> scored(steps);
  for (int64_t t = 0; t < steps; ++t) {
    const float* error = a.lanes.error + t * read;
    scored[t] = std::any_of(error, error + read, [](float of_unit) { return of_unit != 0.0f; });
  }
  a.lanes.scored = scored.data();
  const SpikeLists lists(arrived, signs, channels, rows, batch, steps);
  const int64_t work = a.indptr[rows] * (1 + batch) + rows * batch * steps;
  const int64_t chunks = std::min(ChunkCount(work), std::max<int64_t>(1, rows / 64));
  ParallelFor(pool, chunks, [&](int64_t c) {
    const int64_t begin = RowCut(a.indptr, rows, c, chunks), end = RowCut(a.indptr, rows, c + 1, chunks);
#ifdef CONNFIT_X86
    if (HasAvx512()) return CellRowsAvx512<Cell>(a, lists.events, begin, end);
    if (CurrentIsa() == Isa::avx2) return CellRowsAvx2<Cell>(a, lists.events, begin, end);
#endif
    CellRowsPortable<Cell>(a, lists.events, begin, end);
  });
}

}  // namespace connfit
