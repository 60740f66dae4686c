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
  const float* w = nullptr;  // [nnz] weights in this order; null where they are fetched from those of the pattern
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

// The columns that are not 0, where and how much; and where their connections are.
struct Followed {
  std::vector<int32_t> columns;
  std::vector<int64_t> lane_starts;
  std::vector<int32_t> lanes;   // in which recordings, of column n from lane_starts[n] on
  std::vector<float> values;    // of each lane
  std::vector<int64_t> starts;  // of column n, among all connections that are followed
  std::vector<int32_t> rows;    // copies of these, side by side
  std::vector<float> w;
  int64_t additions = 0, cost = 0;  // of a connection and a recording; in times of one that is passed in a row

  void Clear() {
    columns.clear();
    lanes.clear();
    values.clear();
    lane_starts.assign(1, 0);
    starts.assign(1, 0);
    additions = cost = 0;
  }

  // Adds a column, of which the lanes have been added.
  void Add(const ByColumn& by, int64_t column) {
    const int64_t count = by.indptr[column + 1] - by.indptr[column], some = lanes.size() - lane_starts.back();
    columns.push_back(static_cast<int32_t>(column));
    starts.push_back(starts.back() + count);
    lane_starts.push_back(lanes.size());
    additions += count * some;
    cost += count * ((by.w == nullptr ? 6 : 2) + 5 * some);
  }

  void AddLane(int64_t lane, float value) {
    lanes.push_back(static_cast<int32_t>(lane));
    values.push_back(value);
  }

  // Whether following takes no longer than going through all connections, which a further dozen of recordings doubles.
  bool Pays(const MatvecArgs& a) const { return cost <= a.nnz + a.nnz * a.batch / 12; }
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

// Lists the columns of a.x that are not 0; false where following them does not pay.
inline bool ListFollowed(const MatvecArgs& a, const ByColumn& by, Followed& to) {
  to.Clear();
  if (a.batch == 1) {
    ForEachNonzero(a.x, by.columns, [&](int64_t j) {
      to.AddLane(0, a.x[j]);
      to.Add(by, j);
    });
    return to.Pays(a);
  }
  for (int64_t j = 0; j < by.columns && to.Pays(a); ++j) {
    const float* x = a.x + j * a.batch;
    ForEachNonzero(x, a.batch, [&](int64_t b) { to.AddLane(b, x[b]); });
    if (static_cast<int64_t>(to.lanes.size()) > to.lane_starts.back()) to.Add(by, j);
  }
  return to.Pays(a);
}

// Fetches the weights of what is followed, where they do not lie in the order of columns.
template <typename Pool>
void FetchFollowed(Pool& pool, const MatvecArgs& a, const ByColumn& by, Followed& to) {
  if (by.w != nullptr) return;
  const int64_t active = to.columns.size(), work = to.starts[active];
  to.rows.resize(work);
  to.w.resize(work);
  const int64_t parts = std::clamp<int64_t>(std::min(work / 4096, active), 1, 8);
  ParallelFor(pool, parts, [&](int64_t c) { CopyFollowed(a, by, active * c / parts, active * (c + 1) / parts, to); });
}

// Adds up what is followed in the rows begin ... end - 1. A row adds its columns in their order, so that results do not
// depend on how rows are shared out.
inline void AddFollowed(const MatvecArgs& a, const ByColumn& by, const Followed& to, int64_t begin, int64_t end) {
  const bool copied = by.w == nullptr, whole = begin == 0 && end == a.rows;
  const int32_t* rows = copied ? to.rows.data() : by.rows;
  const float* w = copied ? to.w.data() : by.w;
  const int64_t active = to.columns.size(), batch = a.batch;
  const auto from = [&](int64_t n) -> int64_t { return copied ? to.starts[n] : by.indptr[to.columns[n]]; };
  const auto count = [&](int64_t n) { return to.starts[n + 1] - to.starts[n]; };
  std::fill(a.y + begin * batch, a.y + end * batch, 0.0f);
  for (int64_t n = 0; n < active; ++n) {
    if (!copied && n + 3 < active) {  // about where these rows are, where columns reach all of them
      const int64_t next = from(n + 3), lines = count(n + 3);
      const int64_t last = std::min(next + lines * end / a.rows + 16, a.nnz);
      for (int64_t z = next + lines * begin / a.rows; z < last; z += 16) {
        __builtin_prefetch(rows + z);
        __builtin_prefetch(w + z);
      }
    }
    int64_t e = from(n), stop = e + count(n);
    if (!whole) {
      e = std::lower_bound(rows + e, rows + stop, static_cast<int32_t>(begin)) - rows;
      stop = std::lower_bound(rows + e, rows + stop, static_cast<int32_t>(end)) - rows;
    }
    const int64_t first = to.lane_starts[n], last = to.lane_starts[n + 1];
    if (batch == 1) {
      for (const float x = to.values[first]; e < stop; ++e) a.y[rows[e]] += w[e] * x;
      continue;
    }
    for (; e < stop; ++e) {
      float* y = a.y + static_cast<int64_t>(rows[e]) * batch;
      for (int64_t l = first; l < last; ++l) y[to.lanes[l]] += w[e] * to.values[l];
    }
  }
}

// Number of pieces that rows are cut into for so much work: few, as each looks for its rows in every column.
template <typename Pool>
int64_t RowParts(Pool& pool, int64_t work) {
  return std::clamp<int64_t>(work / 16384, 1, std::clamp<int64_t>(pool.num_threads(), 1, 16));
}

// As Matvec.
template <typename Pool>
void EventMatvec(Pool& pool, const MatvecArgs& a, const ByColumn& by) {
  // Kept between calls, which come by the thousand: pages that are given back must be cleared again.
  thread_local Followed followed;
  Followed& to = followed;
  if (!ListFollowed(a, by, to)) return Matvec(pool, a);
  FetchFollowed(pool, a, by, to);
  const int64_t parts = RowParts(pool, to.additions);
  ParallelFor(pool, parts, [&](int64_t c) { AddFollowed(a, by, to, a.rows * c / parts, a.rows * (c + 1) / parts); });
}

// Copies weights into the order of `by`, for a run of so many steps; false, and nothing is written, where fetching
// those of spikes as they come is quicker, if as many arrive in each step as are not 0 among the `lanes` of `sent`.
template <typename Pool>
bool LayOut(Pool& pool, const float* w, const ByColumn& by, int64_t nnz, const float* sent, int64_t lanes,
            int64_t steps, float* laid_out) {
  constexpr int64_t kAhead = 64, kLong = 512;
  int64_t spikes = 0;
  ForEachNonzero(sent, lanes, [&](int64_t) { ++spikes; });
  // To copy a connection takes about a third of what is saved each time that it is followed; of a long run it is
  // little, whatever it saves.
  if (steps < kLong && 3 * spikes * steps < lanes) return false;
  const int64_t chunks = ChunkCount(nnz);
  ParallelFor(pool, chunks, [&](int64_t c) {
    for (int64_t e = nnz * c / chunks, end = nnz * (c + 1) / chunks; e < end; ++e) {
      __builtin_prefetch(w + by.places[std::min(e + kAhead, nnz - 1)], 0, 2);
      laid_out[e] = w[by.places[e]];
    }
  });
  return true;
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
