// One step of all neurons of a compiled cell with the connections that lead to it: what spikes bring is added up in the
// cache in which the neurons then step.
#pragma once

#include "cell_step.h"
#include "events.h"
#include "poisson.h"

namespace connfit {

// External events that reach neurons in a step.
struct EventInputs {
  PoissonArgs draw;
  const float* brought;  // [256] what so many bring
};

struct CellForwardArgs {
  MatvecArgs wiring;  // without x; y becomes what is received
  ByColumn by;
  const float* sent;            // [rows, batch], 1 where the spike of a neuron arrives
  const float* signs;           // [columns]; column c is of neuron c % rows, and sends signs[c] where its spike arrives
  const float* bias;            // [rows]
  const float *others, *drive;  // [rows, batch], of the drive what is above 0; null: none
  const EventInputs* events;    // null: none
  CellStepArgs step;
};

// Lists the columns that send something; false where following them does not pay.
inline bool ListArrived(const CellForwardArgs& a, Followed& to) {
  const int64_t rows = a.wiring.rows, batch = a.wiring.batch;
  to.Clear();
  for (int64_t first = 0; first < a.by.columns && to.Pays(a.wiring); first += rows) {
    int64_t column = -1;
    ForEachNonzero(a.sent, rows * batch, [&](int64_t lane) {
      const int64_t now = first + lane / batch;
      if (a.signs[now] == 0.0f) return;
      if (column != now && column >= 0) to.Add(a.by, column);
      column = now;
      to.AddLane(lane % batch, a.signs[now] * a.sent[lane]);
    });
    if (column >= 0) to.Add(a.by, column);
  }
  return to.Pays(a.wiring);
}

// Adds to what came through the connections of the rows begin ... end - 1 what else neurons receive.
inline void AddInputs(const CellForwardArgs& a, int64_t begin, int64_t end) {
  const int64_t batch = a.wiring.batch;
  float* y = a.wiring.y;
  if (a.events != nullptr) PoissonCountsBodyBest(a.events->draw, begin, end);
  const auto of_lanes = [&](int64_t from, int64_t to, auto&& bias) {
    for (int64_t lane = from; lane < to; ++lane) y[lane] += bias(lane);
    if (a.events != nullptr) {
      const uint8_t* counts = a.events->draw.counts;
      for (int64_t lane = from; lane < to; ++lane) {
        y[lane] += a.events->brought[counts[lane]] + (a.others == nullptr ? 0.0f : a.others[lane]);
      }
    } else if (a.others != nullptr) {
      for (int64_t lane = from; lane < to; ++lane) y[lane] += a.others[lane];
    }
    if (a.drive != nullptr) {
      for (int64_t lane = from; lane < to; ++lane) y[lane] += std::max(a.drive[lane], 0.0f);
    }
  };
  if (batch == 1) return of_lanes(begin, end, [&](int64_t lane) { return a.bias[lane]; });
  for (int64_t i = begin; i < end; ++i) {
    of_lanes(i * batch, (i + 1) * batch, [&](int64_t) { return a.bias[i]; });
  }
}

// Calls done(begin, end) for rows that have stepped.
template <typename Cell, typename Pool, typename Done>
void CellForward(Pool& pool, const CellForwardArgs& a, const Done& done) {
  thread_local Followed followed;  // kept between calls, as in `EventMatvec`
  Followed& to = followed;
  const int64_t rows = a.wiring.rows, batch = a.wiring.batch;
  const bool few = ListArrived(a, to);
  if (few) {
    FetchFollowed(pool, a.wiring, a.by, to);
  } else {
    const int64_t columns = a.by.columns;
    std::vector<float> x(columns * batch);
    for (int64_t column = 0; column < columns; ++column) {
      const float *sent = a.sent + column % rows * batch, sign = a.signs[column];
      for (int64_t b = 0; b < batch; ++b) x[column * batch + b] = sign * sent[b];
    }
    MatvecArgs all = a.wiring;
    all.x = x.data();
    Matvec(pool, all);
  }
  const int64_t parts = RowParts(pool, rows * batch);
  ParallelFor(pool, parts, [&](int64_t c) {
    const int64_t begin = rows * c / parts, end = rows * (c + 1) / parts;
    if (few) AddFollowed(a.wiring, a.by, to, begin, end);
    AddInputs(a, begin, end);
    StepSome<Cell>(a.step, begin * batch, end * batch);
    done(begin, end);
  });
}

}  // namespace connfit
