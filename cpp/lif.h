// Steps of `connfit.models.cells.integrate_fire.LIF` and of `adaptive_integrate_fire.AdaptiveLIF`, whose Python names
// these follow, and their derivatives.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "simd.h"

namespace connfit {

template <bool kAdapts>
class LifCell {
 public:
  // States potential, current, refractory, rate, and adaptation; of these all but refractory have traces.
  static constexpr int kStates = kAdapts ? 5 : 4, kTraced = kAdapts ? 4 : 3, kShown = 2, kDriven = 1;
  // bias, time_constants, membrane, synapse, threshold, response, base; adaptation, jump
  static constexpr int kLearned = kAdapts ? 9 : 7;
  // Of theta: time_constants, membrane, synapse, threshold, refractory, response, base, what a current passes on in a
  // step, and its derivatives by membrane and synapse; adaptation, jump; and options: width, clears, surrogate.
  static constexpr int kNumbers = kAdapts ? 12 : 10, kOptions = 3;
  // Derivatives that may not be 0: of states (rows) by states, and by numbers.
  static constexpr bool kByState[4][4] = {
      {true, true, false, false}, {true, true, false, false}, {true, false, true, true}, {true, false, false, true}};
  static constexpr bool kByNumber[9][4] = {
      {false, true, false, false}, {false, false, true, false}, {true, false, false, false},
      {true, true, false, false},  {true, true, true, true},    {false, false, true, false},
      {false, false, true, false}, {false, false, false, true}, {false, false, true, true}};
  // Whether state q acts on state s, after any number of steps.
  static constexpr bool Reaches(int s, int q) { return s == q || (q != 2 && (q != 3 || s == 2)); }

  struct Slopes {
    explicit Slopes(int64_t lanes) : room((kTraced + kLearned) * kTraced * lanes) {
      float* next = room.data();
      const auto take = [&] { return std::exchange(next, next + lanes); };
      for (int p = 0; p < kTraced; ++p) {
        for (int q = 0; q < kTraced; ++q) by_state[p][q] = kByState[p][q] ? take() : nullptr;
      }
      for (int l = 0; l < kLearned; ++l) {
        for (int q = 0; q < kTraced; ++q) by_number[l][q] = kByNumber[l][q] ? take() : nullptr;
      }
    }
    Slopes(const Slopes&) = delete;

    std::vector<float> room;
    float* by_state[kTraced][kTraced] = {};
    float* by_number[kLearned][kTraced] = {};
  };

  explicit LifCell(const float* options)
      : per_width_(1.0f / options[0]), clears_(options[1] != 0), surrogate_(static_cast<int>(options[2])) {}

  // 1 where the first `count` lanes spike, from the states before a step.
  CONNFIT_INLINE void Spike(const float* const* now, int64_t count, float* spikes) const {
    int64_t z = 0;
    for (; z + 8 <= count; z += 8) SpikeSome<8>(now, z, spikes);
    for (; z < count; ++z) SpikeSome<1>(now, z, spikes);
  }

  // The states of the first `count` lanes after a step; they may take the memory of those before it.
  CONNFIT_INLINE void Step(const float* const* now, const float* spikes, const float* received, int64_t count,
                           float* const* next) const {
    int64_t z = 0;
    for (; z + 8 <= count; z += 8) StepSome<8>(now, spikes, received, z, next);
    for (; z < count; ++z) StepSome<1>(now, spikes, received, z, next);
  }

  // Derivatives of the first `count` lanes in a step, from the states before it.
  CONNFIT_INLINE void Find(const float* const* now, const float* spikes, int64_t count, Slopes& to) const {
    int64_t z = 0;
    for (; z + 8 <= count; z += 8) FindSome<8>(now, spikes, z, to);
    for (; z < count; ++z) FindSome<1>(now, spikes, z, to);
  }

  // Adds what an adjoint of the spikes that the states before a step make is to these, and to numbers: rows of `lanes`.
  CONNFIT_INLINE void AddSent(const float* const* now, const float* sent, int64_t count, int64_t lanes, float* adjoint,
                              float* sums) const {
    int64_t z = 0;
    for (; z + 8 <= count; z += 8) AddSentOfSome<8>(now, sent, z, lanes, adjoint, sums);
    for (; z < count; ++z) AddSentOfSome<1>(now, sent, z, lanes, adjoint, sums);
  }

  const float* theta = nullptr;  // [kNumbers, stride], from the first lane on
  int64_t stride = 0;

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

  template <int W>
  CONNFIT_INLINE Vector<W> Number(int which, int64_t z) const {
    return Load<W>(theta + which * stride + z);
  }

  // The potential above the threshold.
  template <int W>
  CONNFIT_INLINE Vector<W> Above(const float* const* now, int64_t z) const {
    Vector<W> above = Load<W>(now[0] + z) - Number<W>(3, z);
    if constexpr (kAdapts) above -= Number<W>(11, z) * Load<W>(now[4] + z);
    return above;
  }

  template <int W>
  CONNFIT_INLINE void SpikeSome(const float* const* now, int64_t z, float* spikes) const {
    const Vector<W> zero{};
    Store<W>(spikes + z, Above<W>(now, z) > 0.0f ? zero + 1.0f : zero);
  }

  // Steps of the refractory time that are left.
  template <int W>
  CONNFIT_INLINE Vector<W> Left(const float* const* now, Vector<W> spike, int64_t z) const {
    return spike > 0.0f ? Number<W>(4, z) : Positive<W>(Load<W>(now[2] + z) - 1.0f);
  }

  template <int W>
  CONNFIT_INLINE void StepSome(const float* const* now, const float* spikes, const float* received, int64_t z,
                               float* const* next) const {
    using V = Vector<W>;
    const V zero{}, spike = Load<W>(spikes + z), stays = 1.0f - spike, left = Left<W>(now, spike, z);
    const V gamma = Number<W>(0, z), g = Load<W>(now[1] + z), current = clears_ ? g * stays : g;
    const V moved = Number<W>(1, z) * (Load<W>(now[0] + z) * stays) + Number<W>(7, z) * current;
    const V after = Number<W>(2, z) * current + Load<W>(received + z);
    const V seen = gamma * Load<W>(now[3] + z) + (1.0f - gamma) * (Number<W>(6, z) + Number<W>(5, z) * spike);
    Store<W>(next[0] + z, left < 1.5f ? moved : zero);
    Store<W>(next[1] + z, !clears_ ? after : left < 1.5f ? after : current);
    Store<W>(next[2] + z, left);
    Store<W>(next[3] + z, seen);
    if constexpr (kAdapts) Store<W>(next[4] + z, Number<W>(10, z) * Load<W>(now[4] + z) + spike);
  }

  template <int W>
  CONNFIT_INLINE void FindSome(const float* const* now, const float* spikes, int64_t z, Slopes& to) const {
    using V = Vector<W>;
    const auto number = [&](int which) { return Number<W>(which, z); };
    const V zero{}, one = zero + 1.0f;
    const V gamma = number(0), alpha = number(1), beta = number(2), response = number(5), kappa = number(7);
    const V v = Load<W>(now[0] + z), g = Load<W>(now[1] + z), sigma = Surrogate<W>(Above<W>(now, z));
    const V spike = Load<W>(spikes + z), stays = 1.0f - spike, left = Left<W>(now, spike, z);
    const V free = left < 1.5f ? one : zero;
    const V kept = clears_ ? (left < 1.5f ? beta : one) : beta, open = clears_ ? stays : one, current = g * open;
    const V seen = (1.0f - gamma) * response * sigma;
    // Gradients of cells that adapt do not go through the reset.
    const V to_v = kAdapts ? zero : -free * sigma * (clears_ ? alpha * v + kappa * g : alpha * v);
    const V to_g = !kAdapts && clears_ ? -kept * g * sigma : zero;
    Store<W>(to.by_state[0][0] + z, alpha * free * stays + to_v);
    Store<W>(to.by_state[0][1] + z, kappa * free * open);
    Store<W>(to.by_state[1][0] + z, to_g);
    Store<W>(to.by_state[1][1] + z, kept * open);
    Store<W>(to.by_state[2][0] + z, seen);
    Store<W>(to.by_state[2][2] + z, gamma);
    Store<W>(to.by_number[0][1] + z, clears_ ? free : one);
    Store<W>(to.by_number[1][2] + z, Load<W>(now[3] + z) - number(6) - response * spike);
    Store<W>(to.by_number[2][0] + z, free * (stays * v + number(8) * current));
    Store<W>(to.by_number[3][0] + z, free * number(9) * current);
    Store<W>(to.by_number[3][1] + z, clears_ ? free * current : current);
    Store<W>(to.by_number[4][0] + z, -to_v);
    Store<W>(to.by_number[4][1] + z, -to_g);
    Store<W>(to.by_number[4][2] + z, -seen);
    Store<W>(to.by_number[5][2] + z, (1.0f - gamma) * spike);
    Store<W>(to.by_number[6][2] + z, 1.0f - gamma);
    if constexpr (kAdapts) {
      const V a = Load<W>(now[4] + z), rho = number(10), jump = number(11);
      Store<W>(to.by_state[2][3] + z, -jump * seen);
      Store<W>(to.by_state[3][3] + z, rho - jump * sigma);
      Store<W>(to.by_number[8][2] + z, -a * seen);
      Store<W>(to.by_number[8][3] + z, -a * sigma);
      Store<W>(to.by_state[3][0] + z, sigma);
      Store<W>(to.by_number[4][3] + z, -sigma);
      Store<W>(to.by_number[7][3] + z, a);
    }
  }

  template <int W>
  CONNFIT_INLINE void AddSentOfSome(const float* const* now, const float* sent, int64_t z, int64_t lanes,
                                    float* adjoint, float* sums) const {
    using V = Vector<W>;
    const auto add = [&](float* to, V value) { Store<W>(to, Load<W>(to) + value); };
    const V through = Load<W>(sent + z) * Surrogate<W>(Above<W>(now, z));
    add(adjoint + z, through);
    add(sums + 4 * lanes + z, -through);
    if constexpr (kAdapts) {
      add(adjoint + 3 * lanes + z, -Number<W>(11, z) * through);
      add(sums + 8 * lanes + z, -through * Load<W>(now[4] + z));
    }
  }

  const float per_width_;
  const bool clears_;
  const int surrogate_;
};

using Lif = LifCell<false>;
using AdaptiveLif = LifCell<true>;

}  // namespace connfit
