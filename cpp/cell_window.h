// The whole adjoint of a window for cells that say here what they do in a step and what its derivatives are, with
// errors that travel along each neuron's own states alone: from what neurons received to gradients and traces in one
// pass, so that nothing else of a window is held.
//
// Per neuron and recording (a lane), states are made once more from those before the window; then, back from the last
// step with λ = 0 and Ψ = 1:
//   λ += what read-outs say of the state that they see;   left(t) = B·λ;   trace_left(t) = Ψ B
//   gradient of a number θ += D·λ;   its trace += Ψ D;    λ <- Aᵀ λ;       Ψ <- Ψ A
//   and, where spikes are penalised, λ and gradients += what that says of the spikes with which the step begins
// and for the connections of the neuron as `WindowOuter`, by lists of spikes.
#pragma once

#include <vector>

#include "bfloat16.h"
#include "cell_step.h"
#include "window_events.h"

namespace connfit {

template <typename Trace>
struct CellWindowArgs {
  const int32_t* indptr;
  const int32_t* indices;
  const float* theta;          // [numbers of the cell, rows]
  const float* options;        // of the cell
  const float* const* starts;  // of each state [rows, batch], before the window
  const float* received;       // [steps, rows, batch]
  const uint8_t* spiked;       // [steps, rows, batch] 1 where the states before a step make a spike
  const float* error;          // [steps, units, batch] adjoint of what is read
  const uint8_t* scored;       // [steps] 0 where `error` is 0; `CellWindow` finds it
  ByColumn readout;            // whose columns are the neurons, and rows the units
  const float* strengths;      // [of the readout]
  const Trace* trace;          // [S, nnz, batch]; may be the same memory as new_trace
  const float* own_trace;      // [learned, S, rows, batch]; may be the same memory as new_own_trace
  const float* slope;          // [rows] adjoint of the spikes of a neuron, where counted; null: 0
  const float* counted;        // [steps, batch]
  float* gradient;             // [nnz]
  Trace* new_trace;            // [S, nnz, batch]
  float* own_gradient;         // [learned, rows]
  float* new_own_trace;        // [learned, S, rows, batch]
  // For what else reaches neurons; the first two null where nothing does.
  float* left;        // [steps, rows, batch]
  float* trace_left;  // [steps, S, rows, batch]
  float* carry;       // [rows, batch, S]
  float* decay;       // [rows, batch, S, S]
  int64_t rows, nnz, batch, steps, units;
};

// What one block of lanes needs; arrays are [.., lanes].
template <typename Cell>
struct CellBlock {
  static constexpr int S = Cell::kTraced, L = Cell::kLearned;

  CellBlock(const float* options, int64_t lanes, int64_t steps)
      : cell(options),
        lanes(lanes),
        theta(Cell::kNumbers * lanes),
        before(Cell::kStates * steps * lanes),
        spikes(steps * lanes),
        left(lanes * steps),
        trace_left(lanes * S * steps),
        adjoint(S * lanes),
        psi(S * S * lanes),
        next(S * S * lanes),
        sums(L * lanes),
        own(L * S * lanes),
        slopes(lanes),
        sent(lanes) {
    cell.theta = theta.data();
    cell.stride = lanes;
  }
  CellBlock(const CellBlock&) = delete;

  Cell cell;
  int64_t lanes;
  std::vector<float> theta;
  std::vector<float> before;      // [states, steps, lanes]
  std::vector<float> spikes;      // [steps, lanes]
  std::vector<float> left;        // [steps, lanes]
  std::vector<float> trace_left;  // [S, steps, lanes]
  std::vector<float> adjoint, psi, next, sums, own;
  typename Cell::Slopes slopes;
  std::vector<float> sent;  // adjoint of spikes
};

// The states before each step of the lanes first ... first + count - 1.
template <typename Cell, typename Args>
CONNFIT_INLINE void CellForward(const Args& a, CellBlock<Cell>& block, int64_t first, int64_t count) {
  const int64_t lanes = block.lanes, all = a.rows * a.batch;
  float* now[Cell::kStates];
  for (int s = 0; s < Cell::kStates; ++s) {
    now[s] = block.before.data() + s * a.steps * lanes;
    std::copy_n(a.starts[s] + first, count, now[s]);
  }
  for (int64_t t = 0; t < a.steps; ++t) {
    const float* received = a.received + t * all + first;
    const uint8_t* spiked = a.spiked + t * all + first;
    float* spikes = block.spikes.data() + t * lanes;
    for (int64_t z = 0; z < count; ++z) spikes[z] = spiked[z];
    if (t + 1 == a.steps) break;
    for (int64_t z = 0; z < count; z += 16) __builtin_prefetch(received + all + z);
    float* next[Cell::kStates];
    for (int s = 0; s < Cell::kStates; ++s) next[s] = now[s] + lanes;
    block.cell.Step(now, spikes, received, count, next);
    std::copy_n(next, Cell::kStates, now);
  }
}

// Adds what read-outs of step t say of the lanes first ... first + count - 1.
template <typename Args>
CONNFIT_INLINE void AddRead(const Args& a, int64_t t, int64_t first, int64_t count, float* adjoint) {
  if (a.scored[t] == 0) return;
  const float* error = a.error + t * a.units * a.batch;
  for (int64_t z = 0; z < count; ++z) {
    const int64_t neuron = (first + z) / a.batch, b = (first + z) % a.batch;
    for (int32_t e = a.readout.indptr[neuron]; e < a.readout.indptr[neuron + 1]; ++e) {
      adjoint[z] += a.strengths[a.readout.places[e]] * error[a.readout.rows[e] * a.batch + b];
    }
  }
}

// The adjoint of the spikes with which step t begins, of the lanes first ... first + count - 1.
template <typename Args>
CONNFIT_INLINE void SentAdjoint(const Args& a, int64_t t, int64_t first, int64_t count, float* sent) {
  const float* counted = a.counted + t * a.batch;
  for (int64_t z = 0; z < count; ++z) sent[z] = a.slope[(first + z) / a.batch] * counted[(first + z) % a.batch];
}

// Back through the steps of the lanes first ... first + count - 1.
template <typename Cell, typename Args>
CONNFIT_INLINE void CellBackward(const Args& a, CellBlock<Cell>& block, int64_t first, int64_t count) {
  constexpr int S = Cell::kTraced, L = Cell::kLearned;
  const int64_t lanes = block.lanes, steps = a.steps;
  float* __restrict adjoint = block.adjoint.data();
  float* __restrict psi = block.psi.data();
  float* __restrict next = block.next.data();
  float* __restrict sums = block.sums.data();
  float* __restrict own = block.own.data();
  std::fill(block.adjoint.begin(), block.adjoint.end(), 0.0f);
  std::fill(block.psi.begin(), block.psi.end(), 0.0f);
  std::fill(block.sums.begin(), block.sums.end(), 0.0f);
  std::fill(block.own.begin(), block.own.end(), 0.0f);
  for (int s = 0; s < S; ++s) std::fill_n(psi + (s * S + s) * lanes, lanes, 1.0f);
  for (int64_t t = steps - 1; t >= 0; --t) {
    const float* now[Cell::kStates];
    for (int s = 0; s < Cell::kStates; ++s) now[s] = block.before.data() + (s * steps + t) * lanes;
    auto& at = block.slopes;
    block.cell.Find(now, block.spikes.data() + t * lanes, count, at);
    AddRead(a, t, first, count, adjoint + Cell::kShown * lanes);
    // What inputs, which do what the first number does, and numbers of the neuron do.
    const float* gain = at.by_number[0][Cell::kDriven];
    float* left = block.left.data() + t * lanes;
    for (int64_t z = 0; z < count; ++z) left[z] = gain[z] * adjoint[Cell::kDriven * lanes + z];
    for (int s = 0; s < S; ++s) {
      const float* from = psi + (s * S + Cell::kDriven) * lanes;
      float* to = block.trace_left.data() + (s * steps + t) * lanes;
      for (int64_t z = 0; z < count; ++z) to[z] = gain[z] * from[z];
    }
    for (int l = 0; l < L; ++l) {
      for (int q = 0; q < S; ++q) {
        if (!Cell::kByNumber[l][q]) continue;
        const float* by = at.by_number[l][q];
        float* sum = sums + l * lanes;
        for (int64_t z = 0; z < count; ++z) sum[z] += by[z] * adjoint[q * lanes + z];
        for (int s = 0; s < S; ++s) {
          if (!Cell::Reaches(s, q)) continue;
          float* to = own + (l * S + s) * lanes;
          const float* from = psi + (s * S + q) * lanes;
          for (int64_t z = 0; z < count; ++z) to[z] += from[z] * by[z];
        }
      }
    }
    // λ <- Aᵀ λ and every row of Ψ <- Ψ A alike.
    const auto through = [&](const float* rows, float* result, bool (*there)(int, int), int row) {
      for (int q = 0; q < S; ++q) {
        float* to = result + q * lanes;
        std::fill_n(to, count, 0.0f);
        for (int p = 0; p < S; ++p) {
          if (!Cell::kByState[p][q] || !there(row, p)) continue;
          const float* from = rows + p * lanes;
          const float* by = at.by_state[p][q];
          for (int64_t z = 0; z < count; ++z) to[z] += from[z] * by[z];
        }
      }
    };
    through(adjoint, next, [](int, int) { return true; }, 0);
    for (int s = 0; s < S; ++s) std::copy_n(next + s * lanes, count, adjoint + s * lanes);
    if (a.slope != nullptr) {
      SentAdjoint(a, t, first, count, block.sent.data());
      block.cell.AddSent(now, block.sent.data(), count, lanes, adjoint, sums);
    }
    for (int s = 0; s < S; ++s) through(psi + s * S * lanes, next + s * S * lanes, Cell::Reaches, s);
    std::swap(psi, next);
  }
  if (psi != block.psi.data()) std::copy_n(psi, S * S * lanes, block.psi.data());
}

// Gradients and traces of the numbers of lanes, from what `CellBackward` found.
template <typename Cell, typename Args>
CONNFIT_INLINE void CellNumbers(const Args& a, const CellBlock<Cell>& block, int64_t first, int64_t count) {
  constexpr int S = Cell::kTraced, L = Cell::kLearned;
  const int64_t lanes = block.lanes, all = a.rows * a.batch;
  for (int l = 0; l < L; ++l) {
    for (int64_t z = 0; z < count; ++z) {
      float before[S];  // new traces may take the memory of old ones
      for (int s = 0; s < S; ++s) before[s] = a.own_trace[(l * S + s) * all + first + z];
      float sum = block.sums[l * lanes + z];
      for (int s = 0; s < S; ++s) sum += block.adjoint[s * lanes + z] * before[s];
      float& total = a.own_gradient[l * a.rows + (first + z) / a.batch];
      total = ((first + z) % a.batch == 0 ? 0.0f : total) + sum;
      for (int s = 0; s < S; ++s) {
        float kept = block.own[(l * S + s) * lanes + z];
        for (int q = 0; q < S; ++q) kept += block.psi[(s * S + q) * lanes + z] * before[q];
        a.new_own_trace[(l * S + s) * all + first + z] = kept;
      }
    }
  }
}

template <typename Cell, typename Trace>
CONNFIT_INLINE void CellRowsBody(const CellWindowArgs<Trace>& a, const Events& events, int64_t begin, int64_t end) {
  constexpr int S = Cell::kTraced;
  const int64_t rows = std::max<int64_t>(1, 64 / a.batch), lanes = rows * a.batch;
  CellBlock<Cell> block(a.options, lanes, a.steps);
  for (int64_t row = begin; row < end; row += rows) {
    const int64_t some = std::min(rows, end - row), first = row * a.batch, count = some * a.batch;
    for (int n = 0; n < Cell::kNumbers; ++n) {
      for (int64_t z = 0; z < count; ++z) block.theta[n * lanes + z] = a.theta[n * a.rows + row + z / a.batch];
    }
    CellForward(a, block, first, count);
    CellBackward(a, block, first, count);
    CellNumbers(a, block, first, count);
    float* carry = a.carry + first * S;
    float* decay = a.decay + first * S * S;
    for (int64_t z = 0; z < count; ++z) {
      for (int s = 0; s < S; ++s) carry[z * S + s] = block.adjoint[s * lanes + z];
      for (int s = 0; s < S * S; ++s) decay[z * S * S + s] = block.psi[s * lanes + z];
    }
    const int64_t all = a.rows * a.batch;
    for (int64_t t = 0; t < a.steps && a.left != nullptr; ++t) {
      std::copy_n(block.left.data() + t * lanes, count, a.left + t * all + first);
      for (int s = 0; s < S; ++s) {
        std::copy_n(block.trace_left.data() + (s * a.steps + t) * lanes, count,
                    a.trace_left + (t * S + s) * all + first);
      }
    }
    struct Rows {
      const int32_t *indptr, *indices;
      const Trace* trace;
      const float *carry, *decay, *left, *trace_left;
      float* gradient;
      Trace* new_trace;
      int64_t nnz, batch, steps, lanes;
      Events events;

      CONNFIT_INLINE const float* Left(int64_t z) const { return left + z; }
      CONNFIT_INLINE const float* TraceLeft(int64_t z, int s) const { return trace_left + s * steps * lanes + z; }
      CONNFIT_INLINE int64_t Stride() const { return lanes; }
    };
    WindowEventsBody<S>(Rows{a.indptr + row, a.indices, a.trace, carry, decay, block.left.data(),
                             block.trace_left.data(), a.gradient, a.new_trace, a.nnz, a.batch, a.steps, lanes, events},
                        0, some);
  }
}

#ifdef CONNFIT_X86
template <typename Cell, typename Trace>
CONNFIT_AVX2 void CellRowsAvx2(const CellWindowArgs<Trace>& a, const Events& events, int64_t begin, int64_t end) {
  CellRowsBody<Cell>(a, events, begin, end);
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
  const int64_t read = a.units * a.batch;
  std::vector<uint8_t> scored(a.steps);
  for (int64_t t = 0; t < a.steps; ++t) {
    const float* error = a.error + t * read;
    scored[t] = std::any_of(error, error + read, [](float of_unit) { return of_unit != 0.0f; });
  }
  a.scored = scored.data();
  const SpikeLists lists(arrived, signs, channels, a.rows, a.batch, a.steps);
  const int64_t work = a.indptr[a.rows] * (1 + a.batch) + a.rows * a.batch * a.steps;
  const int64_t chunks = std::min(ChunkCount(work), std::max<int64_t>(1, a.rows / 64));
  ParallelFor(pool, chunks, [&](int64_t c) {
    const int64_t begin = RowCut(a.indptr, a.rows, c, chunks), end = RowCut(a.indptr, a.rows, c + 1, chunks);
#ifdef CONNFIT_X86
    if (CurrentIsa() == Isa::avx2) return CellRowsAvx2<Cell>(a, lists.events, begin, end);
#endif
    CellRowsBody<Cell>(a, lists.events, begin, end);
  });
}

}  // namespace connfit
