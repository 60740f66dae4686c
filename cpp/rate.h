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
  constexpr int64_t W = 8, kAhead = 128;
  using V = Vector<W>;
  const V zero{}, one = zero + 1.0f;
  const int64_t batch = a.batch, steps = a.steps, lanes = a.rows * batch;
  std::vector<float> room(4 * W * steps);
  float *left = room.data(), *trace_left = left + W * steps, *gated = trace_left + W * steps,
        *trace_gated = gated + W * steps;
  for (int64_t o = 0; o < 2; ++o)
    std::fill(a.own_gradient + o * a.rows + begin, a.own_gradient + o * a.rows + end, 0.0f);
  for (int64_t first = begin * batch; first < end * batch; first += W) {
    const int64_t width = std::min(W, end * batch - first);
    int64_t neuron[W], from[W];
    float decays[W];
    for (int64_t z = 0; z < W; ++z) {
      const int64_t lane = first + std::min(z, width - 1);
      neuron[z] = lane / batch;
      from[z] = neuron[z] * steps * batch + lane % batch;
      decays[z] = a.decay[neuron[z]];
    }
    const V decay = Load<W>(decays);
    V lambda{}, psi = one, by_tau{}, by_bias{}, of_tau{}, of_bias{};
    for (int64_t t = steps - 1; t >= 0; --t) {
      const int64_t at = t * lanes + first;
      // Steps lie far from each other, and there are more of them than streams that the processor follows by itself.
      if (first % (2 * W) < W) {
        __builtin_prefetch(a.states + at + kAhead);
        __builtin_prefetch(a.received + at + kAhead);
        if (a.gate != nullptr) __builtin_prefetch(a.gate + at + kAhead);
        if (a.kept != nullptr) __builtin_prefetch(a.kept + at + kAhead);
        if (a.adjoints != nullptr) __builtin_prefetch(a.adjoints + at + kAhead);
      }
      const V h = LoadSome<W>(a.states + at, width), x = LoadSome<W>(a.received + at, width);
      const V kept = a.kept == nullptr ? one : LoadSome<W>(a.kept + at, width);
      if (a.adjoints != nullptr) {
        lambda = LoadSome<W>(a.adjoints + at, width);
      } else {
        float read[W];
        for (int64_t z = 0; z < W; ++z) read[z] = a.read[from[z] + t * batch];
        lambda += Load<W>(read);
      }
      const V slope = x >= 0.0f ? 1.0f - decay : zero;
      const V beyond = h - (x < 0.0f ? zero : x), remains = decay * kept;
      const V now = slope * lambda, later = psi * slope;
      Store<W>(left + t * W, now);
      Store<W>(trace_left + t * W, later);
      if (a.gate != nullptr) {
        const V opens = LoadSome<W>(a.gate + at, width) != 0.0f ? one : zero;
        Store<W>(gated + t * W, opens * now);
        Store<W>(trace_gated + t * W, opens * later);
      }
      by_bias += now;
      of_bias += later;
      by_tau += beyond * lambda;
      of_tau += psi * beyond;
      lambda *= remains;
      psi *= remains;
    }
    WriteTransposed<W>(left, steps, width, a.left + first * steps);
    WriteTransposed<W>(trace_left, steps, width, a.trace_left + first * steps);
    if (a.gate != nullptr) {
      WriteTransposed<W>(gated, steps, width, a.gated + first * steps);
      WriteTransposed<W>(trace_gated, steps, width, a.trace_gated + first * steps);
    }
    for (int64_t z = 0; z < width; ++z) {
      const int64_t lane = first + z;
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
