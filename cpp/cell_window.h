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
  const Trace* trace;      // [S, nnz, batch]; may be the same memory as new_trace
  const float* own_trace;  // [learned, S, rows, batch]; may be the same memory as new_own_trace
  float* gradient;         // [nnz]
  Trace* new_trace;        // [S, nnz, batch]
  float* own_gradient;     // [learned, rows]
  float* new_own_trace;    // [learned, S, rows, batch]
  float* carry;            // [rows, batch, S]
  float* decay;            // [rows, batch, S, S]
  int64_t nnz;
};

// Gradients and traces of the numbers of the first `count` lanes from `lane` on.
template <typename Cell, int W, typename Trace>
CONNFIT_INLINE void CellNumbers(const CellWindowArgs<Trace>& a, const LaneResults<Cell, W>& found, int64_t lane,
                                int64_t count) {
  constexpr int S = Cell::kTraced, L = Cell::kLearned;
  const int64_t all = a.lanes.Lanes(), batch = a.lanes.batch;
  Unrolled<L>([&](auto l) CONNFIT_BODY {
    Vector<W> before[S], sum = found.sums[l];  // new traces may take the memory of old ones
    Unrolled<S>([&](auto s) CONNFIT_BODY {
      before[s] = LoadSome<W>(a.own_trace + (l * S + s) * all + lane, count);
      sum += found.adjoint[s] * before[s];
    });
    for (int64_t z = 0; z < count; ++z) {
      float& total = a.own_gradient[l * a.lanes.rows + (lane + z) / batch];
      total = ((lane + z) % batch == 0 ? 0.0f : total) + sum[z];
    }
    Unrolled<S>([&](auto s) CONNFIT_BODY {
      Vector<W> kept = found.own[l][s];
      Unrolled<S>([&](auto q) CONNFIT_BODY {
        if constexpr (Cell::Reaches(s, q)) kept += found.psi[s][q] * before[q];
      });
      for (int64_t z = 0; z < count; ++z) a.new_own_trace[(l * S + s) * all + lane + z] = kept[z];
    });
  });
}

template <typename Cell, int W, typename Trace>
CONNFIT_INLINE void CellRowsBody(const CellWindowArgs<Trace>& a, const Events& events, int64_t begin, int64_t end) {
  constexpr int S = Cell::kTraced;
  const int64_t batch = a.lanes.batch, steps = a.lanes.steps, rows = std::max<int64_t>(1, W / batch);
  const int64_t groups = (rows * batch + W - 1) / W;
  const Cell cell(a.lanes.options);
  std::vector<float> before(steps * (Cell::kStates + 1) * W), table(groups * W * steps * Brings<S>::kWidth);
  for (int64_t row = begin; row < end; row += rows) {
    const int64_t some = std::min(rows, end - row), first = row * batch;
    for (int64_t group = 0; group * W < some * batch; ++group) {
      const int64_t lane = first + group * W, count = std::min<int64_t>(W, (row + some) * batch - lane);
      const auto theta = NumbersOf<Cell, W>(a.lanes.theta, a.lanes.rows, batch, lane, count);
      LanesForward<Cell, W>(cell, theta, a.lanes, lane, count, before.data());
      const auto found = LanesBackward<Cell, W>(cell, theta, a.lanes, lane, count, before.data(),
                                                table.data() + group * W * steps * Brings<S>::kWidth);
      CellNumbers<Cell, W>(a, found, lane, count);
      for (int64_t z = 0; z < count; ++z) {
        for (int s = 0; s < S; ++s) a.carry[(lane + z) * S + s] = found.adjoint[s][z];
        for (int s = 0; s < S * S; ++s) a.decay[(lane + z) * S * S + s] = found.psi[s / S][s % S][z];
      }
    }
    ConnectionsBody<Cell>(
        ConnectionArgs<Trace>{a.indptr + row, a.indices, a.trace, a.carry + first * S, a.decay + first * S * S,
                              table.data(), a.gradient, a.new_trace, a.nnz, batch, steps, events},
        some);
  }
}

#ifdef CONNFIT_X86
template <typename Cell, typename Trace>
CONNFIT_AVX2 void CellRowsAvx2(const CellWindowArgs<Trace>& a, const Events& events, int64_t begin, int64_t end) {
  CellRowsBody<Cell, 8>(a, events, begin, end);
}

template <typename Cell, typename Trace>
CONNFIT_AVX512 void CellRowsAvx512(const CellWindowArgs<Trace>& a, const Events& events, int64_t begin, int64_t end) {
  CellRowsBody<Cell, 16>(a, events, begin, end);
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
    CellRowsBody<Cell, 4>(a, lists.events, begin, end);
  });
}

}  // namespace connfit
