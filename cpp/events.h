// Spikes: a forward pass that follows the columns that are not 0, and lists of what is not 0 in a window.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "matvec.h"
#include "simd.h"
#include "threads.h"

namespace connfit {

// The connections by column; within a column rows rise.
struct ByColumn {
  const int32_t* indptr;  // [columns + 1]
  const int32_t* rows;    // [nnz]
  const int32_t* places;  // [nnz] in the pattern
  int64_t columns;
};

// What is not 0 among [columns * batch, steps] numbers, row by row; not usable where there was no room for all of it.
struct Events {
  const int32_t* starts;  // [columns * batch + 1]; null: none are given
  const int32_t* steps;
  const float* values;
  int64_t room, count;

  bool Usable() const { return starts != nullptr && starts[count] <= room; }
};

// Calls found(k) for every k in 0..count-1 with values[k] != 0, in order; quick where nearly all are 0.
template <typename Found>
CONNFIT_INLINE void ForEachNonzero(const float* values, int64_t count, const Found& found) {
  constexpr int64_t kBlock = 16;
  int64_t k = 0;
  for (; k + kBlock <= count; k += kBlock) {
    uint64_t words[kBlock / 2], any = 0;
    std::memcpy(words, values + k, sizeof(words));
    for (uint64_t word : words) any |= word;
    if (any == 0) continue;
    for (int64_t z = k; z < k + kBlock; ++z) {
      if (values[z] != 0.0f) found(z);
    }
  }
  for (; k < count; ++k) {
    if (values[k] != 0.0f) found(k);
  }
}

// Calls found(k) for every k in 0..count-1 with set[k] != 0, in order; quick where nearly all are 0.
template <typename Found>
CONNFIT_INLINE void ForEachSet(const uint8_t* set, int64_t count, const Found& found) {
  constexpr int64_t kBlock = 32;
  int64_t k = 0;
  for (; k + kBlock <= count; k += kBlock) {
    uint64_t words[kBlock / 8], any = 0;
    std::memcpy(words, set + k, sizeof(words));
    for (uint64_t word : words) any |= word;
    if (any == 0) continue;
    for (int64_t z = k; z < k + kBlock; ++z) {
      if (set[z] != 0) found(z);
    }
  }
  for (; k < count; ++k) {
    if (set[k] != 0) found(k);
  }
}

// The columns that are not 0, and where; and their connections side by side: column n has those from starts[n] on.
struct Followed {
  std::vector<int32_t> columns;
  std::vector<int64_t> lane_starts;
  std::vector<int32_t> lanes;  // in which recordings, of column n from lane_starts[n] on
  std::vector<int64_t> starts;
  std::vector<int32_t> rows;
  std::vector<float> w;
  int64_t additions;  // of a connection and a recording
};

// Copies the connections of the columns begin ... end - 1 of `to`; which weights come is known long before they do.
inline void CopyFollowed(const MatvecArgs& a, const ByColumn& by, int64_t begin, int64_t end, Followed& to) {
  constexpr int64_t kAhead = 48;
  const auto place = [&](size_t n) { return by.indptr[to.columns[n]]; };
  int64_t at = to.starts[begin], soon = at;  // and where one is that is asked for already
  size_t soon_column = begin;
  const int64_t stop = to.starts[end];
  for (int64_t n = begin; n < end; ++n) {
    const int64_t count = to.starts[n + 1] - to.starts[n], from = place(n);
    if (n + 3 < end) {
      const int64_t next = place(n + 3), lines = to.starts[n + 4] - to.starts[n + 3];
      for (int64_t z = 0; z < lines; z += 16) {
        __builtin_prefetch(by.rows + next + z);
        __builtin_prefetch(by.places + next + z);
      }
    }
    for (int64_t z = 0; z < count; ++z, ++at) {
      for (; soon < std::min(at + kAhead, stop); ++soon) {
        while (soon >= to.starts[soon_column + 1]) ++soon_column;
        __builtin_prefetch(a.w + by.places[place(soon_column) + soon - to.starts[soon_column]]);
      }
      to.rows[at] = by.rows[from + z];
      to.w[at] = a.w[by.places[from + z]];
    }
  }
}

// Lists the columns that are not 0; false where following them would take longer than going through all connections.
inline bool ListFollowed(const MatvecArgs& a, const ByColumn& by, Followed& to) {
  // In times of a connection that is passed in a row, which a further dozen of recordings doubles, one that is followed
  // takes about six, and five for each recording that it counts in.
  const int64_t most = a.nnz + a.nnz * a.batch / 12;
  int64_t cost = 0;
  to.columns.clear();
  to.lanes.clear();
  to.lane_starts.assign(1, 0);
  to.starts.assign(1, 0);
  to.additions = 0;
  const auto add = [&](int64_t j) {
    const int64_t count = by.indptr[j + 1] - by.indptr[j];
    const int64_t lanes = to.lanes.size() - to.lane_starts.back();
    to.columns.push_back(static_cast<int32_t>(j));
    to.starts.push_back(to.starts.back() + count);
    to.lane_starts.push_back(to.lanes.size());
    to.additions += count * lanes;
    cost += count * (6 + 5 * lanes);
  };
  if (a.batch == 1) {
    ForEachNonzero(a.x, by.columns, [&](int64_t j) {
      to.lanes.push_back(0);
      add(j);
    });
    return cost <= most;
  }
  for (int64_t j = 0; j < by.columns && cost <= most; ++j) {
    ForEachNonzero(a.x + j * a.batch, a.batch, [&](int64_t b) { to.lanes.push_back(static_cast<int32_t>(b)); });
    if (static_cast<int64_t>(to.lanes.size()) > to.lane_starts.back()) add(j);
  }
  return cost <= most;
}

// As Matvec. A row adds up its columns in their order, so that results do not depend on threads.
template <typename Pool>
void EventMatvec(Pool& pool, const MatvecArgs& a, const ByColumn& by) {
  // Kept between calls, which come by the thousand: pages that are given back must be cleared again.
  thread_local Followed followed;
  Followed& to = followed;
  if (!ListFollowed(a, by, to)) return Matvec(pool, a);
  const int64_t active = to.columns.size(), work = to.starts[active];
  to.rows.resize(work);
  to.w.resize(work);
  const int64_t parts = std::clamp<int64_t>(std::min(work / 4096, active), 1, 8);
  ParallelFor(pool, parts, [&](int64_t c) { CopyFollowed(a, by, active * c / parts, active * (c + 1) / parts, to); });
  const int64_t chunks = std::clamp<int64_t>(to.additions / 16384, 1, 8);
  ParallelFor(pool, chunks, [&](int64_t c) {
    const int32_t begin = static_cast<int32_t>(a.rows * c / chunks),
                  end = static_cast<int32_t>(a.rows * (c + 1) / chunks);
    std::fill(a.y + begin * a.batch, a.y + end * a.batch, 0.0f);
    for (int64_t n = 0; n < active; ++n) {
      const int32_t* rows = to.rows.data();
      int64_t e = to.starts[n], stop = to.starts[n + 1];
      if (chunks > 1) {
        e = std::lower_bound(rows + e, rows + stop, begin) - rows;
        stop = std::lower_bound(rows + e, rows + stop, end) - rows;
      }
      const float* x = a.x + static_cast<int64_t>(to.columns[n]) * a.batch;
      for (; e < stop; ++e) {
        float* y = a.y + static_cast<int64_t>(rows[e]) * a.batch;
        for (int64_t l = to.lane_starts[n]; l < to.lane_starts[n + 1]; ++l) y[to.lanes[l]] += to.w[e] * x[to.lanes[l]];
      }
    }
  });
}

// Lists what is not 0 in `rows` rows of `steps` numbers. Without room for all, `starts` says how many there are, and
// nothing is listed.
template <typename Pool>
void ListEvents(Pool& pool, const float* values, int64_t rows, int64_t steps, int32_t* starts, int32_t* at,
                float* found, int64_t room) {
  const int64_t chunks = ChunkCount(rows * steps / 8);
  ParallelFor(pool, chunks, [&](int64_t c) {
    for (int64_t row = rows * c / chunks; row < rows * (c + 1) / chunks; ++row) {
      int32_t count = 0;
      ForEachNonzero(values + row * steps, steps, [&](int64_t) { ++count; });
      starts[row + 1] = count;
    }
  });
  int64_t total = 0;
  starts[0] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    total += starts[row + 1];
    starts[row + 1] = static_cast<int32_t>(std::min<int64_t>(total, INT32_MAX));
  }
  if (total > room) return;
  ParallelFor(pool, chunks, [&](int64_t c) {
    for (int64_t row = rows * c / chunks; row < rows * (c + 1) / chunks; ++row) {
      int32_t next = starts[row];
      if (next == starts[row + 1]) continue;
      const float* from = values + row * steps;
      ForEachNonzero(from, steps, [&](int64_t k) {
        at[next] = static_cast<int32_t>(k);
        found[next++] = from[k];
      });
    }
  });
}

}  // namespace connfit
