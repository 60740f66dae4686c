// Runs of a network of leaky integrate-and-fire neurons, forward only.
//
// Runs share the wiring and nothing else: each is computed by one thread, spikes in the order of neurons, so that
// results do not depend on how many threads there are. Neurons at rest to which nothing came are skipped, and a spike
// costs as much as its neuron has targets.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "simd.h"
#include "threads.h"

namespace connfit {

// What one call computes, mirrored in src/connfit/models/spiking/native_runs.py.
struct SpikingArgs {
  const int32_t* indptr;      // [N + 1], connections that neuron j makes
  const int32_t* targets;     // [M]
  const void* weights;        // [M], of the type of the states
  const int32_t* stimulated;  // [k]
  const uint8_t* events;      // [steps, k, runs]
  const uint8_t* silent;      // [N, runs], or none
  const int32_t* place;       // [N], which of the watched neurons each is; -1: none
  const void* current;        // [N] what is added to v in every step, or none
  int32_t* counts;            // [runs, N]
  uint8_t* spikes;            // [steps, watched, runs], 0
  int64_t steps, stimulated_count, watched;
  double decay_v, decay_g, from_g, threshold, reset, kick;
  int64_t refractory;
};

template <typename T>
struct MoveArgs {
  T* u;
  T* g;
  const int32_t* ready;
  const T* current;
  int32_t now;
  T decay_v, decay_g, from_g, threshold;
  int32_t* spiked;  // whether any did
};

template <typename T>
CONNFIT_INLINE void Move(const MoveArgs<T>& a, int64_t begin, int64_t end) {
  int32_t any = 0;
  for (int64_t i = begin; i < end; ++i) {
    const bool open = a.now >= a.ready[i];
    const T u = a.u[i], g = a.g[i], next = a.decay_v * u + a.from_g * g + (a.current == nullptr ? 0 : a.current[i]);
    a.u[i] = open ? next : u;
    a.g[i] = open ? a.decay_g * g : g;
    any |= open && next > a.threshold;
  }
  *a.spiked = any;
}

CONNFIT_INLINE void MoveSingle(const MoveArgs<float>& a, int64_t begin, int64_t end) { Move(a, begin, end); }
CONNFIT_INLINE void MoveDouble(const MoveArgs<double>& a, int64_t begin, int64_t end) { Move(a, begin, end); }
CONNFIT_FOR_EACH_ISA(MoveSingle, MoveArgs<float>)
CONNFIT_FOR_EACH_ISA(MoveDouble, MoveArgs<double>)
inline void MoveBest(const MoveArgs<float>& a, int64_t begin, int64_t end) { MoveSingleBest(a, begin, end); }
inline void MoveBest(const MoveArgs<double>& a, int64_t begin, int64_t end) { MoveDoubleBest(a, begin, end); }

class SpikingRuns {
 public:
  virtual ~SpikingRuns() = default;
  virtual void Run(const SpikingArgs& args) = 0;
};

template <typename T>
class SpikingRunsOf : public SpikingRuns {
 public:
  SpikingRunsOf(int64_t neurons, int64_t runs, int64_t delay) : neurons_(neurons), delay_(delay), of_(runs) {
    for (Run_& run : of_) {
      run.u.assign(neurons, 0);
      run.g.assign(neurons, 0);
      run.ready.assign(neurons, 0);
      run.awake.assign((neurons + kBlock - 1) / kBlock, 0);
      run.sent.resize(delay);
    }
  }

  void Run(const SpikingArgs& args) override {
    const int64_t runs = of_.size();
    int64_t threads = std::min<int64_t>(runs, std::max(1u, std::thread::hardware_concurrency()));
    if (ThreadLimit() > 0) threads = std::min(threads, ThreadLimit());
    std::atomic<int64_t> next{0};
    auto work = [&] {
      for (int64_t run = next++; run < runs; run = next++) RunOne(args, run);
    };
    std::vector<std::thread> helpers;
    for (int64_t helper = 1; helper < threads; ++helper) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
    now_ += args.steps;
  }

 private:
  static constexpr int64_t kBlock = 32;      // neurons that wake up together
  static constexpr int64_t kTidy = 64;       // steps between two looks at who is at rest again
  static constexpr double kNothing = 1e-20;  // mV; what is smaller than this changes no sum with what arrives

  struct Run_ {
    std::vector<T> u, g;
    std::vector<int32_t> ready;              // first step in which a neuron moves again
    std::vector<uint8_t> awake;              // blocks that hold a neuron that is not at rest
    std::vector<std::vector<int32_t>> sent;  // spikes of the last steps, by step
  };

  void RunOne(const SpikingArgs& args, int64_t at) {
    Run_& run = of_[at];
    const int64_t runs = of_.size();
    const T* weights = static_cast<const T*>(args.weights);
    const T* current = static_cast<const T*>(args.current);
    if (current != nullptr) std::fill(run.awake.begin(), run.awake.end(), 1);
    std::vector<uint8_t> stimulated(neurons_, 0);
    for (int64_t k = 0; k < args.stimulated_count; ++k) stimulated[args.stimulated[k]] = 1;
    int32_t spiked = 0;
    MoveArgs<T> move{run.u.data(),
                     run.g.data(),
                     run.ready.data(),
                     current,
                     0,
                     static_cast<T>(args.decay_v),
                     static_cast<T>(args.decay_g),
                     static_cast<T>(args.from_g),
                     static_cast<T>(args.threshold),
                     &spiked};
    const T reset = static_cast<T>(args.reset), kick = static_cast<T>(args.kick);
    std::vector<int32_t> now_spiking;
    for (int64_t t = 0; t < args.steps; ++t) {
      const int32_t now = static_cast<int32_t>(now_ + t);
      move.now = now;
      now_spiking.clear();
      constexpr int64_t kTogether = 16;  // blocks that move in one call, and are searched for spikes
      const int64_t blocks = run.awake.size();
      for (int64_t block = 0; block < blocks;) {
        if (!run.awake[block]) {
          ++block;
          continue;
        }
        const int64_t first = block, last = std::min(blocks, first + kTogether);
        while (block < last && run.awake[block]) ++block;
        const int64_t begin = first * kBlock, end = std::min(neurons_, block * kBlock);
        MoveBest(move, begin, end);
        if (!spiked) continue;
        for (int64_t i = begin; i < end; ++i) {
          if (now < run.ready[i] || !(run.u[i] > move.threshold)) continue;
          now_spiking.push_back(static_cast<int32_t>(i));
        }
      }
      for (const int32_t i : now_spiking) {
        run.u[i] = reset;
        run.g[i] = 0;
        run.ready[i] = now + (stimulated[i] ? 1 : std::max<int32_t>(1, static_cast<int32_t>(args.refractory)));
        ++args.counts[at * neurons_ + i];
        if (args.place[i] >= 0) args.spikes[(t * args.watched + args.place[i]) * runs + at] = 1;
      }
      std::vector<int32_t>& arriving = run.sent[now % delay_];
      for (const int32_t j : arriving) {
        if (args.silent != nullptr && args.silent[j * runs + at]) continue;
        for (int32_t e = args.indptr[j]; e < args.indptr[j + 1]; ++e) {
          const int32_t i = args.targets[e];
          if (now < run.ready[i]) continue;
          run.g[i] += weights[e];
          run.awake[i / kBlock] = 1;
        }
      }
      arriving.assign(now_spiking.begin(), now_spiking.end());
      const uint8_t* events = args.events + t * args.stimulated_count * runs + at;
      for (int64_t k = 0; k < args.stimulated_count; ++k) {
        const int32_t i = args.stimulated[k];
        if (!events[k * runs] || now < run.ready[i]) continue;
        run.u[i] += kick;
        run.awake[i / kBlock] = 1;
      }
      if (current == nullptr && now % kTidy == kTidy - 1) Tidy(run);
    }
  }

  // Lets neurons rest whose states have decayed to nothing: they would become subnormal numbers, which are slow.
  void Tidy(Run_& run) {
    for (size_t block = 0; block < run.awake.size(); ++block) {
      if (!run.awake[block]) continue;
      bool rests = true;
      for (int64_t i = block * kBlock; i < std::min<int64_t>(neurons_, (block + 1) * kBlock); ++i) {
        if (std::abs(run.u[i]) < kNothing) run.u[i] = 0;
        if (std::abs(run.g[i]) < kNothing) run.g[i] = 0;
        rests = rests && run.u[i] == 0 && run.g[i] == 0;
      }
      run.awake[block] = !rests;
    }
  }

  int64_t neurons_, delay_, now_ = 0;
  std::vector<Run_> of_;
};

}  // namespace connfit
