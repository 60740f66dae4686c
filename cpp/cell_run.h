// Steps of all neurons of a compiled cell with the connections between them, as many as inputs are known for: what lies
// between two steps is never given back.
#pragma once

#include "cell_forward.h"

namespace connfit {

// What stays the same from step to step where the stride is 0.
struct OfSteps {
  const float* first;  // [rows, batch] of the first step; null: none
  int64_t stride;

  const float* At(int64_t t) const { return first == nullptr ? nullptr : first + t * stride; }
};

struct CellRunArgs {
  CellForwardArgs first;  // the first step; of what is sent, received, others, drive and events: none
  OfSteps others, drive;
  PoissonArgs draw;       // without counts; no levels: no events
  float event;            // what one brings
  const float* queue;     // [delay, rows, batch] spikes on their way, of which the first arrive next
  float* queue_after;     // as `queue`, and may be its memory
  MatvecArgs readout;     // of the state that read-outs see, without x; y has room for all steps
  const uint8_t* scored;  // [steps] where a step is read out, else 0 is read; null: nothing ever is
  float* received;        // [steps, rows, batch]; null: not asked for
  uint8_t* spiked;        // [steps, rows, batch] 1 where the states before a step make a spike; null: not asked for
  float* counts;          // [rows, batch] sum of these
  int64_t steps, delay;
};

template <typename Cell, typename Pool>
void CellRun(Pool& pool, const CellRunArgs& a) {
  CellForwardArgs step = a.first;
  const int64_t rows = step.wiring.rows, batch = step.wiring.batch, lanes = rows * batch;
  std::vector<float> sums(a.received == nullptr ? lanes : 0), at_once(a.delay == 0 ? lanes : 0);
  std::vector<uint32_t> clock(a.draw.step, a.draw.step + (a.draw.levels == 0 ? 0 : batch));
  std::vector<uint8_t> drawn(a.draw.levels == 0 ? 0 : lanes);
  float brought[256];
  for (int n = 0; n < 256; ++n) brought[n] = static_cast<float>(n) * a.event;
  EventInputs events{a.draw, brought};
  events.draw.step = clock.data();
  events.draw.counts = drawn.data();
  if (a.draw.levels != 0) step.events = &events;
  if (a.queue != a.queue_after) std::copy(a.queue, a.queue + a.delay * lanes, a.queue_after);
  std::fill(a.counts, a.counts + lanes, 0.0f);
  for (int64_t t = 0; t < a.steps; ++t) {
    float* sent = a.delay == 0 ? at_once.data() : a.queue_after + t % a.delay * lanes;
    step.sent = step.step.spiked = sent;
    if (a.delay == 0) FindSpikes<Cell>(pool, step.step);
    step.wiring.y = a.received == nullptr ? sums.data() : a.received + t * lanes;
    step.step.received = step.wiring.y;
    step.others = a.others.At(t);
    step.drive = a.drive.At(t);
    CellForward<Cell>(pool, step, [&](int64_t begin, int64_t end) {
      for (int64_t lane = begin * batch; lane < end * batch; ++lane) a.counts[lane] += sent[lane];
      if (a.spiked == nullptr) return;
      uint8_t* spiked = a.spiked + t * lanes;
      for (int64_t lane = begin * batch; lane < end * batch; ++lane) spiked[lane] = sent[lane] != 0.0f;
    });
    step.step.states = step.step.after;
    for (uint32_t& now : clock) ++now;
    if (a.scored == nullptr) continue;
    MatvecArgs readout = a.readout;
    readout.x = step.step.after[Cell::kRead];
    readout.y += t * readout.rows * batch;
    if (a.scored[t] != 0) {
      Matvec(pool, readout);
    } else {
      std::fill(readout.y, readout.y + readout.rows * batch, 0.0f);
    }
  }
  if (a.delay > 1) {
    std::rotate(a.queue_after, a.queue_after + a.steps % a.delay * lanes, a.queue_after + a.delay * lanes);
  }
}

}  // namespace connfit
