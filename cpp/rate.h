// Leaky rate neurons, r <- α r + (1 - α) max(x, 0): a step with the connections that lead to it, and what a window with
// errors that travel along each neuron's own rate leaves of every step.
#pragma once

#include <vector>

#include "matvec.h"

namespace connfit {

struct RateStepArgs {
  MatvecArgs connections;  // y is the input x [rows, batch]
  const float* bias;       // [rows]
  const float* decay;      // α [rows]
  const float* others;     // [rows, batch], added to the input; null without
  const float* drive;      // [rows, batch], of which what is above 0 is added; null without
  const float* rates;      // [rows, batch]
  float* after;            // [rows, batch]
};

// The larger of a number and 0; what is not a number stays so.
CONNFIT_INLINE float Rectified(float x) { return x < 0.0f ? 0.0f : x; }

CONNFIT_INLINE void RateStepRows(const RateStepArgs& a, int64_t begin, int64_t end) {
  const int64_t batch = a.connections.batch;
  float* received = a.connections.y;
  for (int64_t i = begin; i < end; ++i) {
    const float bias = a.bias[i], decay = a.decay[i];
    for (int64_t at = i * batch; at < (i + 1) * batch; ++at) {
      float x = received[at] + bias;
      if (a.others != nullptr) x += a.others[at];
      if (a.drive != nullptr) x += Rectified(a.drive[at]);
      received[at] = x;
      // Said outright, or the compiler would round one way in vectors and another in what is left of a row.
      a.after[at] = __builtin_fmaf(decay, a.rates[at], (1.0f - decay) * Rectified(x));
    }
  }
}

CONNFIT_FOR_EACH_ISA(RateStepRows, RateStepArgs)

template <typename Pool>
void RateStep(Pool& pool, const RateStepArgs& a) {
  const MatvecArgs& c = a.connections;
  const int64_t chunks = ChunkCount(c.nnz * (1 + c.batch / 8));
  ParallelFor(pool, chunks, [&](int64_t k) {
    const int64_t begin = RowCut(c.indptr, c.rows, k, chunks), end = RowCut(c.indptr, c.rows, k + 1, chunks);
    MatvecChunk(c, begin, end);
    RateStepRowsBest(a, begin, end);
  });
}

struct RateWindowArgs {
  const float* decay;             // α [rows]
  const float* states;            // [steps, rows, batch] before each step
  const float* received;          // [steps, rows, batch]
  const float* read;              // [rows, steps, batch] what read-outs say of the rates after each step
  const float* adjoints;          // [steps, rows, batch] λ where it is known, else null and found from `read`
  const float* start;             // [rows, batch] λ⁰ where λ is known
  const float* kept;              // [steps, rows, batch] of the rate before each step by state forcing; null: all
  const uint8_t* gate;            // [steps, rows, batch] 1 where the drive acts; null without one
  const float* own_trace;         // [2, rows, batch] of time constants and bias
  float *left, *trace_left;       // [rows, batch, steps]
  float *gated, *trace_gated;     // the same where the drive acts
  float *carry, *left_over;       // [rows, batch] λ⁰, and what is left of a rate before the window
  float *own_gradient, *new_own;  // [2, rows] and [2, rows, batch]
  int64_t rows, batch, steps;
};

// Per neuron and recording (a lane), back from the last step with λ = 0 and Ψ = 1:
//   λ += what is read;  left(t) = B λ;  trace_left(t) = Ψ B;  λ <- α λ kept;  Ψ <- Ψ α kept
// Where errors travel through the network, λ is known already.
CONNFIT_INLINE void RateWindowRows(const RateWindowArgs& a, int64_t begin, int64_t end) {
  constexpr int64_t W = 16;
  const int64_t batch = a.batch, steps = a.steps, lanes = a.rows * batch;
  std::vector<float> room(2 * W * steps), gates(W * steps, 1.0f);
  float *left = room.data(), *trace_left = left + W * steps;
  for (int64_t o = 0; o < 2; ++o)
    std::fill(a.own_gradient + o * a.rows + begin, a.own_gradient + o * a.rows + end, 0.0f);
  for (int64_t first = begin * batch; first < end * batch; first += W) {
    const int64_t width = std::min(W, end * batch - first);
    int64_t neuron[W], from[W];
    float decay[W] = {}, lambda[W] = {}, psi[W], by_tau[W] = {}, by_bias[W] = {}, of_tau[W] = {}, of_bias[W] = {};
    for (int64_t z = 0; z < W; ++z) {
      const int64_t lane = first + std::min(z, width - 1);
      neuron[z] = lane / batch;
      from[z] = neuron[z] * steps * batch + lane % batch;
      decay[z] = a.decay[neuron[z]];
      psi[z] = 1.0f;
    }
    for (int64_t t = steps - 1; t >= 0; --t) {
      float h[W], x[W], kept[W];
      const int64_t at = t * lanes + first;
      if (width == W) {
        std::copy(a.states + at, a.states + at + W, h);
        std::copy(a.received + at, a.received + at + W, x);
      } else {
        for (int64_t z = 0; z < W; ++z) h[z] = a.states[at + std::min(z, width - 1)];
        for (int64_t z = 0; z < W; ++z) x[z] = a.received[at + std::min(z, width - 1)];
      }
      if (a.adjoints != nullptr) {
        for (int64_t z = 0; z < W; ++z) lambda[z] = a.adjoints[at + std::min(z, width - 1)];
      } else {
        for (int64_t z = 0; z < W; ++z) lambda[z] += a.read[from[z] + t * batch];
      }
      for (int64_t z = 0; z < W; ++z) kept[z] = a.kept == nullptr ? 1.0f : a.kept[at + std::min(z, width - 1)];
      if (a.gate != nullptr) {
        for (int64_t z = 0; z < W; ++z) gates[t * W + z] = a.gate[at + std::min(z, width - 1)] != 0 ? 1.0f : 0.0f;
      }
      float* now = left + t * W;
      float* later = trace_left + t * W;
      for (int64_t z = 0; z < W; ++z) {
        const float slope = x[z] >= 0.0f ? 1.0f - decay[z] : 0.0f;
        const float beyond = h[z] - Rectified(x[z]), remains = decay[z] * kept[z];
        now[z] = slope * lambda[z];
        later[z] = psi[z] * slope;
        by_bias[z] += now[z];
        of_bias[z] += later[z];
        by_tau[z] += beyond * lambda[z];
        of_tau[z] += psi[z] * beyond;
        lambda[z] *= remains;
        psi[z] *= remains;
      }
    }
    for (int64_t z = 0; z < width; ++z) {
      const int64_t lane = first + z, to = lane * steps;
      for (int64_t t = 0; t < steps; ++t) a.left[to + t] = left[t * W + z];
      for (int64_t t = 0; t < steps; ++t) a.trace_left[to + t] = trace_left[t * W + z];
      if (a.gate != nullptr) {
        for (int64_t t = 0; t < steps; ++t) a.gated[to + t] = gates[t * W + z] * left[t * W + z];
        for (int64_t t = 0; t < steps; ++t) a.trace_gated[to + t] = gates[t * W + z] * trace_left[t * W + z];
      }
      const float carry = a.start != nullptr ? a.start[lane] : lambda[z];
      a.carry[lane] = carry;
      a.left_over[lane] = psi[z];
      const float tau = a.own_trace[lane], bias = a.own_trace[lanes + lane];
      a.own_gradient[neuron[z]] += by_tau[z] + carry * tau;
      a.own_gradient[a.rows + neuron[z]] += by_bias[z] + carry * bias;
      a.new_own[lane] = of_tau[z] + psi[z] * tau;
      a.new_own[lanes + lane] = of_bias[z] + psi[z] * bias;
    }
  }
}

CONNFIT_FOR_EACH_ISA(RateWindowRows, RateWindowArgs)

template <typename Pool>
void RateWindow(Pool& pool, const RateWindowArgs& a) {
  const int64_t chunks = std::min(std::max<int64_t>(1, a.rows), ChunkCount(4 * a.rows * a.batch * a.steps));
  ParallelFor(pool, chunks, [&](int64_t k) { RateWindowRowsBest(a, a.rows * k / chunks, a.rows * (k + 1) / chunks); });
}

}  // namespace connfit
