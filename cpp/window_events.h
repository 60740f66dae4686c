// `WindowOuter` where what is sent is a spike: sums go through lists of spikes, and traces are touched once a window.
#pragma once

#include "events.h"

namespace connfit {

// Rows begin ... end - 1; S states, 0 without a trace. Connections are taken in tiles whose sums stay in registers or
// in the first cache.
template <int S, typename Args>
CONNFIT_INLINE void WindowEventsBody(const Args& a, int64_t begin, int64_t end) {
  constexpr int64_t kTile = 64;
  constexpr int kRoom = S + (S == 0);
  const int64_t batch = a.batch, plane = a.nnz * batch;
  const Events& events = a.events;
  float gradient[kTile], trace[kRoom][kTile], kept[kRoom][kTile];
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t first = a.indptr[i]; first < a.indptr[i + 1]; first += kTile) {
      const int64_t count = std::min<int64_t>(kTile, a.indptr[i + 1] - first);
      std::fill(gradient, gradient + count, 0.0f);
      for (int64_t b = 0; b < batch; ++b) {
        const int64_t row = i * batch + b;
        for (int s = 0; s < S; ++s) {
          const auto* from = a.trace + s * plane + first * batch + b;
          const float carry = a.carry[row * S + s];
          for (int64_t z = 0; z < count; ++z) {
            trace[s][z] = ToFloat(from[z * batch]);
            gradient[z] += carry * trace[s][z];
          }
        }
        for (int s = 0; s < S; ++s) {
          const float* decay = a.decay + (row * S + s) * S;
          for (int64_t z = 0; z < count; ++z) {
            float sum = 0.0f;
            for (int q = 0; q < S; ++q) sum += decay[q] * trace[q][z];
            kept[s][z] = sum;
          }
        }
        for (int64_t z = 0; z < count; ++z) {
          const int64_t source = static_cast<int64_t>(a.indices[first + z]) * batch + b;
          for (int32_t n = events.starts[source]; n < events.starts[source + 1]; ++n) {
            const int64_t k = events.steps[n] * a.Stride();
            const float value = events.values[n];
            gradient[z] += a.Left(row)[k] * value;
            for (int s = 0; s < S; ++s) kept[s][z] += a.TraceLeft(row, s)[k] * value;
          }
        }
        for (int s = 0; s < S; ++s) {
          auto* to = a.new_trace + s * plane + first * batch + b;
          using Trace = std::remove_reference_t<decltype(*to)>;
          for (int64_t z = 0; z < count; ++z) to[z * batch] = FromFloat<Trace>(kept[s][z]);
        }
      }
      std::copy(gradient, gradient + count, a.gradient + first);
    }
  }
}

#ifdef CONNFIT_X86
template <int S, typename Args>
CONNFIT_AVX2 void WindowEventsAvx2(const Args& a, int64_t begin, int64_t end) {
  WindowEventsBody<S>(a, begin, end);
}
#endif

template <int S, typename Args>
void WindowEvents(const Args& a, int64_t begin, int64_t end) {
#ifdef CONNFIT_X86
  if (CurrentIsa() == Isa::avx2) return WindowEventsAvx2<S>(a, begin, end);
#endif
  WindowEventsBody<S>(a, begin, end);
}

}  // namespace connfit
