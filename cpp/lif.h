// Steps of `connfit.models.cells.integrate_fire.LIF` and of `adaptive_integrate_fire.AdaptiveLIF`, whose Python names
// these follow, and their derivatives.
#pragma once

#include "simd.h"

namespace connfit {

template <bool kAdapts>
class LifCell {
 public:
  // States potential, current, refractory, rate, and adaptation; of these all but refractory have traces.
  static constexpr int kStates = kAdapts ? 5 : 4, kTraced = kAdapts ? 4 : 3, kShown = 2, kDriven = 1;
  static constexpr int kRead = 3;  // the state that read-outs see, among all
  // bias, time_constants, membrane, synapse, threshold, response, base; adaptation, jump
  static constexpr int kLearned = kAdapts ? 9 : 7;
  // Of theta: time_constants, membrane, synapse, threshold, refractory, response, base, what a current passes on in a
  // step, and its derivatives by membrane and synapse; adaptation, jump; and options: width, clears, surrogate.
  static constexpr int kNumbers = kAdapts ? 12 : 10, kOptions = 3;
  // Derivatives that may not be 0: of states (rows) by states, and by numbers.
  static constexpr bool kByState[4][4] = {
      {true, true, false, false}, {false, true, false, false}, {true, false, true, true}, {true, false, false, true}};
  static constexpr bool kByNumber[9][4] = {
      {false, true, false, false}, {false, false, true, false}, {true, false, false, false},
      {true, true, false, false},  {false, false, true, true},  {false, false, true, false},
      {false, false, true, false}, {false, false, false, true}, {false, false, true, true}};
  // Whether state q acts on state s, after any number of steps.
  static constexpr bool Reaches(int s, int q) { return s == q || q == 1 || (q == 0 && s != 1) || (q == 3 && s == 2); }

  // Of W neurons.
  template <int W>
  struct Numbers {
    Vector<W> of[kNumbers];
  };
  template <int W>
  struct States {
    Vector<W> of[kStates];
  };
  template <int W>
  struct Slopes {
    Vector<W> by_state[kTraced][kTraced], by_number[kLearned][kTraced];
  };

  explicit LifCell(const float* options)
      : per_width_(1.0f / options[0]), clears_(options[1] != 0), surrogate_(static_cast<int>(options[2])) {}

  // 1 where neurons spike, from the states before a step.
  template <int W>
  CONNFIT_INLINE Vector<W> Spike(const Numbers<W>& theta, const States<W>& now) const {
    const Vector<W> zero{};
    return Above(theta, now) > 0.0f ? zero + 1.0f : zero;
  }

  // The states after a step.
  template <int W>
  CONNFIT_INLINE States<W> Step(const Numbers<W>& theta, const States<W>& now, Vector<W> spike,
                                Vector<W> received) const {
    using V = Vector<W>;
    const V zero{}, stays = 1.0f - spike, left = Left(theta, now, spike);
    const V gamma = theta.of[0], g = now.of[1], current = clears_ ? g * stays : g;
    const V moved = theta.of[1] * (now.of[0] * stays) + theta.of[7] * current;
    const V after = theta.of[2] * current + received;
    States<W> next;
    next.of[0] = left < 1.5f ? moved : zero;
    next.of[1] = !clears_ ? after : left < 1.5f ? after : current;
    next.of[2] = left;
    next.of[3] = gamma * now.of[3] + (1.0f - gamma) * (theta.of[6] + theta.of[5] * spike);
    if constexpr (kAdapts) next.of[4] = theta.of[10] * now.of[4] + spike;
    return next;
  }

  // The derivatives of a step, from the states before it; those that are 0 for all cells are left out.
  template <int W>
  CONNFIT_INLINE Slopes<W> Find(const Numbers<W>& theta, const States<W>& now, Vector<W> spike) const {
    using V = Vector<W>;
    const V zero{}, one = zero + 1.0f;
    const V gamma = theta.of[0], alpha = theta.of[1], beta = theta.of[2], response = theta.of[5], kappa = theta.of[7];
    const V v = now.of[0], g = now.of[1], sigma = Surrogate<W>(Above(theta, now));
    const V stays = 1.0f - spike, left = Left(theta, now, spike);
    const V free = left < 1.5f ? one : zero;
    const V kept = clears_ ? (left < 1.5f ? beta : one) : beta, open = clears_ ? stays : one, current = g * open;
    const V seen = (1.0f - gamma) * response * sigma;
    Slopes<W> to;
    to.by_state[0][0] = alpha * free * stays;
    to.by_state[0][1] = kappa * free * open;
    to.by_state[1][1] = kept * open;
    to.by_state[2][0] = seen;
    to.by_state[2][2] = gamma;
    to.by_number[0][1] = clears_ ? free : one;
    to.by_number[1][2] = now.of[3] - theta.of[6] - response * spike;
    to.by_number[2][0] = free * (stays * v + theta.of[8] * current);
    to.by_number[3][0] = free * theta.of[9] * current;
    to.by_number[3][1] = clears_ ? free * current : current;
    to.by_number[4][2] = -seen;
    to.by_number[5][2] = (1.0f - gamma) * spike;
    to.by_number[6][2] = 1.0f - gamma;
    if constexpr (kAdapts) {
      const V a = now.of[4], rho = theta.of[10], jump = theta.of[11];
      to.by_state[2][3] = -jump * seen;
      to.by_state[3][3] = rho - jump * sigma;
      to.by_number[8][2] = -a * seen;
      to.by_number[8][3] = -a * sigma;
      to.by_state[3][0] = sigma;
      to.by_number[4][3] = -sigma;
      to.by_number[7][3] = a;
    }
    return to;
  }

  // Adds what an adjoint of the spikes that the states before a step make is to these states, and to numbers.
  template <int W>
  CONNFIT_INLINE void AddSent(const Numbers<W>& theta, const States<W>& now, Vector<W> sent, Vector<W>* adjoint,
                              Vector<W>* sums) const {
    const Vector<W> through = sent * Surrogate<W>(Above(theta, now));
    adjoint[0] += through;
    sums[4] -= through;
    if constexpr (kAdapts) {
      adjoint[3] -= theta.of[11] * through;
      sums[8] -= now.of[4] * through;
    }
  }

 private:
  template <int W>
  CONNFIT_INLINE static Vector<W> Positive(Vector<W> x) {
    return x > 0.0f ? x : Vector<W>{};
  }

  // In the order of surrogate_spikes.SURROGATES.
  template <int W>
  CONNFIT_INLINE Vector<W> Surrogate(Vector<W> above) const {
    Vector<W> x = above * per_width_;
    x = x < 0.0f ? -x : x;
    if (surrogate_ == 1) return per_width_ / ((1.0f + x) * (1.0f + x));
    return Positive<W>(1.0f - x) * (surrogate_ == 2 ? 0.3f * per_width_ : per_width_);
  }

  // The potential above the threshold.
  template <int W>
  CONNFIT_INLINE static Vector<W> Above(const Numbers<W>& theta, const States<W>& now) {
    Vector<W> above = now.of[0] - theta.of[3];
    if constexpr (kAdapts) above -= theta.of[11] * now.of[4];
    return above;
  }

  // Steps of the refractory time that are left.
  template <int W>
  CONNFIT_INLINE static Vector<W> Left(const Numbers<W>& theta, const States<W>& now, Vector<W> spike) {
    return spike > 0.0f ? theta.of[4] : Positive<W>(now.of[2] - 1.0f);
  }

  const float per_width_;
  const bool clears_;
  const int surrogate_;
};

using Lif = LifCell<false>;
using AdaptiveLif = LifCell<true>;

}  // namespace connfit
