// Derivatives of `connfit.models.cells.integrate_fire.LIF` and of `adaptive_integrate_fire.AdaptiveLIF`, whose Python
// names these follow.
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

  // Parameters of each lane of a block are copied to `theta`, [kNumbers, lanes].
  LifCell(const float* options, int64_t lanes)
      : lanes_(lanes),
        theta(kNumbers * lanes),
        per_width_(1.0f / options[0]),
        clears_(options[1] != 0),
        surrogate_(static_cast<int>(options[2])) {}

  // Derivatives of the first `count` lanes of a block in a step, from the states before it.
  CONNFIT_INLINE void Find(const float* const* now, int64_t count, Slopes& to) const {
    int64_t z = 0;
    for (; z + 8 <= count; z += 8) FindSome<8>(now, z, to);
    for (; z < count; ++z) FindSome<1>(now, z, to);
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

  template <int W>
  CONNFIT_INLINE void FindSome(const float* const* now, int64_t z, Slopes& to) const {
    using V = Vector<W>;
    const auto number = [&](int which) { return Load<W>(theta.data() + which * lanes_ + z); };
    const V zero{}, one = zero + 1.0f;
    const V gamma = number(0), alpha = number(1), beta = number(2), response = number(5), kappa = number(7);
    const V v = Load<W>(now[0] + z), g = Load<W>(now[1] + z);
    V above = v - number(3);
    if constexpr (kAdapts) above -= number(11) * Load<W>(now[4] + z);
    const V sigma = Surrogate<W>(above);
    const V spike = above > 0.0f ? one : zero, stays = 1.0f - spike;
    const V left = above > 0.0f ? number(4) : Positive<W>(Load<W>(now[2] + z) - 1.0f);
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

  int64_t lanes_;

 public:
  std::vector<float> theta;

 private:
  const float per_width_;
  const bool clears_;
  const int surrogate_;
};

using Lif = LifCell<false>;
using AdaptiveLif = LifCell<true>;

}  // namespace connfit
