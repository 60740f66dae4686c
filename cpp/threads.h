// A parallel loop over a fixed number of chunks on a borrowed thread pool.
//
// The caller works too and takes chunks from the same counter as the pool's threads, so the loop
// ends even if the pool never runs a task. Which thread runs a chunk must not matter: kernels write
// disjoint outputs per chunk, and chunks depend on the shapes only.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace connfit {

// Largest number of threads that a kernel uses, from CONNFIT_THREADS; 0 for no limit.
inline int64_t ThreadLimit() {
  static const int64_t limit = [] {
    const char* text = std::getenv("CONNFIT_THREADS");
    return text == nullptr ? int64_t{0} : std::max<int64_t>(0, std::strtoll(text, nullptr, 10));
  }();
  return limit;
}

// Runs body(chunk) for every chunk in 0..chunks-1 and returns when all have run.
// Pool needs Schedule(callable) and num_threads().
template <typename Pool, typename Body>
void ParallelFor(Pool& pool, int64_t chunks, const Body& body) {
  int64_t threads = std::min<int64_t>(chunks, pool.num_threads());
  if (ThreadLimit() > 0) threads = std::min(threads, ThreadLimit());
  if (threads <= 1) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk);
    return;
  }

  // Shared with tasks that may start after the loop is over: they find no chunk left and touch
  // nothing else. `body` is used only for chunks that the caller still waits for.
  struct State {
    std::atomic<int64_t> next{0};
    std::atomic<int64_t> done{0};
    std::mutex mutex;
    std::condition_variable finished;
  };
  auto state = std::make_shared<State>();
  const Body* work = &body;
  auto take_chunks = [state, work, chunks] {
    for (;;) {
      int64_t chunk = state->next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= chunks) return;
      (*work)(chunk);
      if (state->done.fetch_add(1, std::memory_order_acq_rel) + 1 == chunks) {
        std::lock_guard<std::mutex> lock(state->mutex);
        state->finished.notify_all();
      }
    }
  };
  for (int64_t helper = 1; helper < threads; ++helper) pool.Schedule(decltype(take_chunks)(take_chunks));
  take_chunks();

  auto complete = [&] { return state->done.load(std::memory_order_acquire) == chunks; };
  for (int spin = 0; spin < 4096 && !complete(); ++spin) {
  }
  if (!complete()) {
    std::unique_lock<std::mutex> lock(state->mutex);
    state->finished.wait(lock, complete);
  }
}

// Splits rows into `parts` pieces with about equal numbers of connections; piece p is
// [RowCut(p), RowCut(p + 1)). Cuts depend on the pattern only. `indptr` may begin within a pattern.
inline int64_t RowCut(const int32_t* indptr, int64_t rows, int64_t part, int64_t parts) {
  if (part <= 0) return 0;
  if (part >= parts) return rows;
  int64_t target = indptr[0] + static_cast<int64_t>(indptr[rows] - indptr[0]) * part / parts;
  return std::lower_bound(indptr, indptr + rows, target) - indptr;
}

// Number of chunks for `work` elementary operations: small enough to balance, large enough to
// make the cost of taking a chunk (below a microsecond) vanish.
inline int64_t ChunkCount(int64_t work) { return std::clamp<int64_t>(work / 65536, 1, 1024); }

}  // namespace connfit
