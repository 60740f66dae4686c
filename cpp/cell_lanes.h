// W neurons, or recordings of them, through a window of a compiled cell: forward once more, and back.
#pragma once

#include <vector>

#include "cell_connections.h"
#include "cell_step.h"

namespace connfit {

// What the adjoint of a window needs of all neurons.
struct LaneArgs {
  const float* theta;          // [numbers of the cell, rows]
  const float* options;        // of the cell
  const float* const* starts;  // of each state [rows, batch], before the window
  const float* received;       // [steps, rows, batch]
  const uint8_t* spiked;       // [steps, rows, batch] 1 where the states before a step make a spike
  const float* error;          // [steps, units, batch] adjoint of what is read
  const uint8_t* scored;       // [steps] 0 where `error` is 0
  ByColumn readout;            // whose columns are the neurons, and rows the units
  const float* strengths;      // [of the readout]
  const float* slope;          // [rows] adjoint of the spikes of a neuron, where counted; null where spikes have none
  const float* counted;        // [steps, batch]
  const float* own_trace;      // [learned, S, rows, batch]; may be the same memory as new_own_trace
  float* own_gradient;         // [learned, rows]
  float* new_own_trace;        // [learned, S, rows, batch]
  float* carry;                // [rows, batch, S]
  float* decay;                // [rows, batch, S, S]
  // For what else than connections reaches neurons; null where nothing does.
  float* left;        // [steps, rows, batch]
  float* trace_left;  // [steps, S, rows, batch]
  int64_t rows, batch, steps, units;

  int64_t Lanes() const { return rows * batch; }
};

// What a window leaves of W lanes: λ before it, Ψ over it, and of the numbers of neurons gradients and new traces.
template <typename Cell, int W>
struct LaneResults {
  static constexpr int S = Cell::kTraced, L = Cell::kLearned;
  Vector<W> adjoint[S], psi[S][S], sums[L], own[L][S];
};

// The states before each step of the lanes from `lane` on, of which there are `count`: [steps, states + 1, W], the last
// of them spikes.
template <typename Cell, int W>
CONNFIT_INLINE void LanesForward(const Cell& cell, const typename Cell::template Numbers<W>& theta, const LaneArgs& a,
                                 int64_t lane, int64_t count, float* before) {
  constexpr int64_t kAhead = 64;
  typename Cell::template States<W> now;
  Unrolled<Cell::kStates>([&](auto s) CONNFIT_BODY { now.of[s] = LoadSome<W>(a.starts[s] + lane, count); });
  for (int64_t t = 0; t < a.steps; ++t, before += (Cell::kStates + 1) * W) {
    // Each step lies far from the last: some lines at once of the lanes that follow are asked for now.
    if (lane % kAhead < W) {
      for (int64_t z = kAhead; z < 2 * kAhead; z += 16) __builtin_prefetch(a.received + t * a.Lanes() + lane + z);
      __builtin_prefetch(a.spiked + t * a.Lanes() + lane + kAhead);
    }
    const Vector<W> spike = LoadSome<W>(a.spiked + t * a.Lanes() + lane, count);
    Unrolled<Cell::kStates>([&](auto s) CONNFIT_BODY { Store<W>(before + s * W, now.of[s]); });
    Store<W>(before + Cell::kStates * W, spike);
    now = cell.Step(theta, now, spike, LoadSome<W>(a.received + t * a.Lanes() + lane, count));
  }
}

// What read-outs of step t say of the lanes.
template <int W>
CONNFIT_INLINE Vector<W> Read(const LaneArgs& a, int64_t t, int64_t lane, int64_t count) {
  const float* error = a.error + t * a.units * a.batch;
  float said[W] = {};
  for (int64_t z = 0; z < std::min<int64_t>(count, W); ++z) {
    const int64_t neuron = (lane + z) / a.batch, b = (lane + z) % a.batch;
    for (int32_t e = a.readout.indptr[neuron]; e < a.readout.indptr[neuron + 1]; ++e) {
      said[z] += a.strengths[a.readout.places[e]] * error[a.readout.rows[e] * a.batch + b];
    }
  }
  return Load<W>(said);
}

// The adjoint of the spikes with which step t begins.
template <int W>
CONNFIT_INLINE Vector<W> OfSpikes(const LaneArgs& a, int64_t t, int64_t lane, int64_t count) {
  float found[W] = {};
  for (int64_t z = 0; z < std::min<int64_t>(count, W); ++z) {
    found[z] = a.slope[(lane + z) / a.batch] * a.counted[t * a.batch + (lane + z) % a.batch];
  }
  return Load<W>(found);
}

// Back through the steps, with what `LanesForward` found; writes what spikes bring to `table`.
template <typename Cell, int W>
CONNFIT_INLINE LaneResults<Cell, W> LanesBackward(const Cell& cell, const typename Cell::template Numbers<W>& theta,
                                                  const LaneArgs& a, int64_t lane, int64_t count, const float* before,
                                                  float* table) {
  constexpr int S = Cell::kTraced, L = Cell::kLearned;
  using V = Vector<W>;
  LaneResults<Cell, W> now{};
  Unrolled<S>([&](auto s) CONNFIT_BODY { now.psi[s][s] += 1.0f; });
  for (int64_t t = a.steps - 1; t >= 0; --t) {
    const float* from = before + t * (Cell::kStates + 1) * W;
    typename Cell::template States<W> states;
    Unrolled<Cell::kStates>([&](auto s) CONNFIT_BODY { states.of[s] = Load<W>(from + s * W); });
    const auto at = cell.Find(theta, states, Load<W>(from + Cell::kStates * W));
    if (a.scored[t] != 0) now.adjoint[Cell::kShown] += Read<W>(a, t, lane, count);
    // What inputs, which do what the first number does, and numbers of the neuron do.
    const V gain = at.by_number[0][Cell::kDriven];
    float brings[1 + S][W];
    Store<W>(brings[0], gain * now.adjoint[Cell::kDriven]);
    Unrolled<S>([&](auto s) CONNFIT_BODY { Store<W>(brings[1 + s], gain * now.psi[s][Cell::kDriven]); });
    Brings<S>::template Write<W>(brings, a.steps, t, table);
    for (int64_t z = 0; a.left != nullptr && z < std::min<int64_t>(count, W); ++z) {
      a.left[t * a.Lanes() + lane + z] = brings[0][z];
      for (int s = 0; s < S; ++s) a.trace_left[(t * S + s) * a.Lanes() + lane + z] = brings[1 + s][z];
    }
    Unrolled<L>([&](auto l) CONNFIT_BODY {
      Unrolled<S>([&](auto q) CONNFIT_BODY {
        if constexpr (Cell::kByNumber[l][q]) {
          now.sums[l] += at.by_number[l][q] * now.adjoint[q];
          Unrolled<S>([&](auto s) CONNFIT_BODY {
            if constexpr (Cell::Reaches(s, q)) now.own[l][s] += now.psi[s][q] * at.by_number[l][q];
          });
        }
      });
    });
    // λ <- Aᵀ λ and every row of Ψ <- Ψ A alike.
    V adjoint[S] = {}, psi[S][S] = {};
    Unrolled<S>([&](auto q) CONNFIT_BODY {
      Unrolled<S>([&](auto p) CONNFIT_BODY {
        if constexpr (Cell::kByState[p][q]) {
          adjoint[q] += at.by_state[p][q] * now.adjoint[p];
          Unrolled<S>([&](auto s) CONNFIT_BODY {
            if constexpr (Cell::Reaches(s, p)) psi[s][q] += now.psi[s][p] * at.by_state[p][q];
          });
        }
      });
    });
    Unrolled<S>([&](auto s) CONNFIT_BODY {
      now.adjoint[s] = adjoint[s];
      Unrolled<S>([&](auto q) CONNFIT_BODY { now.psi[s][q] = psi[s][q]; });
    });
    if (a.slope != nullptr) {
      cell.AddSent(theta, states, OfSpikes<W>(a, t, lane, count), now.adjoint, now.sums);
    }
  }
  return now;
}

// Gradients and traces of the numbers of the first `count` lanes from `lane` on.
template <typename Cell, int W>
CONNFIT_INLINE void LanesNumbers(const LaneArgs& a, const LaneResults<Cell, W>& found, int64_t lane, int64_t count) {
  constexpr int S = Cell::kTraced, L = Cell::kLearned;
  const int64_t all = a.Lanes(), batch = a.batch;
  Unrolled<L>([&](auto l) CONNFIT_BODY {
    Vector<W> before[S], sum = found.sums[l];  // new traces may take the memory of old ones
    Unrolled<S>([&](auto s) CONNFIT_BODY {
      before[s] = LoadSome<W>(a.own_trace + (l * S + s) * all + lane, count);
      sum += found.adjoint[s] * before[s];
    });
    for (int64_t z = 0; z < count; ++z) {
      float& total = a.own_gradient[l * a.rows + (lane + z) / batch];
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

// All of the first `count` lanes from `lane` on; `before` and `table` are as above.
template <typename Cell, int W>
CONNFIT_INLINE void LanesBody(const LaneArgs& a, int64_t lane, int64_t count, float* before, float* table) {
  constexpr int S = Cell::kTraced;
  const Cell cell(a.options);
  const auto theta = NumbersOf<Cell, W>(a.theta, a.rows, a.batch, lane, count);
  LanesForward<Cell, W>(cell, theta, a, lane, count, before);
  const auto found = LanesBackward<Cell, W>(cell, theta, a, lane, count, before, table);
  LanesNumbers<Cell, W>(a, found, lane, count);
  for (int64_t z = 0; z < count; ++z) {
    for (int s = 0; s < S; ++s) a.carry[(lane + z) * S + s] = found.adjoint[s][z];
    for (int s = 0; s < S * S; ++s) a.decay[(lane + z) * S * S + s] = found.psi[s / S][s % S][z];
  }
}

// One of these, of its own so that it is compiled once for all kinds of traces.
using OfLanes = void (*)(const LaneArgs& a, int64_t lane, int64_t count, float* before, float* table);

template <typename Cell>
__attribute__((noinline)) void LanesPortable(const LaneArgs& a, int64_t lane, int64_t count, float* before,
                                             float* table) {
  LanesBody<Cell, 4>(a, lane, count, before, table);
}

#ifdef CONNFIT_X86
template <typename Cell>
CONNFIT_AVX2 __attribute__((noinline)) void LanesAvx2(const LaneArgs& a, int64_t lane, int64_t count, float* before,
                                                      float* table) {
  LanesBody<Cell, 8>(a, lane, count, before, table);
}

template <typename Cell>
CONNFIT_AVX512 __attribute__((noinline)) void LanesAvx512(const LaneArgs& a, int64_t lane, int64_t count, float* before,
                                                          float* table) {
  LanesBody<Cell, 16>(a, lane, count, before, table);
}
#endif

}  // namespace connfit
