// Adam in one pass over parameters, moments and gradient, with the gradient's scale and the bound that parameters keep.
#pragma once

#include <cmath>
#include <vector>

#include "simd.h"
#include "threads.h"

namespace connfit {

// Numbers of a step: g <- scale g, m <- b1 m + c1 g, v <- b2 v + c2 g^2 with c = 1 - b in more digits than of b,
// p <- max(p - rate (m / unbiased1) / (sqrt(v / unbiased2) + epsilon), low).
struct AdamNumbers {
  float scale, rate, b1, b2, c1, c2, unbiased1, unbiased2, epsilon, low;
};
constexpr int64_t kAdamNumbers = 10;

struct AdamArgs {
  const float *params, *first, *second, *gradient;
  float *new_params, *new_first, *new_second;  // may be the same memory as those before
  int64_t count;
  AdamNumbers with;
};

inline void AdamPlain(const AdamArgs& a, int64_t begin, int64_t end) {
  const AdamNumbers& n = a.with;
  for (int64_t i = begin; i < end; ++i) {
    const float g = n.scale * a.gradient[i];
    const float m = n.b1 * a.first[i] + n.c1 * g, v = n.b2 * a.second[i] + n.c2 * (g * g);
    const float moved = a.params[i] - n.rate * ((m / n.unbiased1) / (std::sqrt(v / n.unbiased2) + n.epsilon));
    a.new_first[i] = m;
    a.new_second[i] = v;
    a.new_params[i] = moved < n.low ? n.low : moved;
  }
}

#ifdef CONNFIT_X86
CONNFIT_AVX2 inline void AdamAvx2(const AdamArgs& a, int64_t begin, int64_t end) {
  const AdamNumbers& n = a.with;
  const __m256 scale = _mm256_set1_ps(n.scale), rate = _mm256_set1_ps(n.rate), b1 = _mm256_set1_ps(n.b1),
               b2 = _mm256_set1_ps(n.b2), c1 = _mm256_set1_ps(n.c1), c2 = _mm256_set1_ps(n.c2),
               u1 = _mm256_set1_ps(n.unbiased1), u2 = _mm256_set1_ps(n.unbiased2), epsilon = _mm256_set1_ps(n.epsilon),
               low = _mm256_set1_ps(n.low);
  int64_t i = begin;
  for (; i + 8 <= end; i += 8) {
    const __m256 g = _mm256_mul_ps(scale, _mm256_loadu_ps(a.gradient + i));
    const __m256 m = _mm256_fmadd_ps(b1, _mm256_loadu_ps(a.first + i), _mm256_mul_ps(c1, g));
    const __m256 v = _mm256_fmadd_ps(b2, _mm256_loadu_ps(a.second + i), _mm256_mul_ps(c2, _mm256_mul_ps(g, g)));
    const __m256 size = _mm256_add_ps(_mm256_sqrt_ps(_mm256_div_ps(v, u2)), epsilon);
    const __m256 direction = _mm256_div_ps(_mm256_div_ps(m, u1), size);
    const __m256 moved = _mm256_fnmadd_ps(rate, direction, _mm256_loadu_ps(a.params + i));
    _mm256_storeu_ps(a.new_first + i, m);
    _mm256_storeu_ps(a.new_second + i, v);
    _mm256_storeu_ps(a.new_params + i, _mm256_max_ps(low, moved));  // the second where one is not a number
  }
  AdamPlain(a, i, end);
}
#endif

constexpr int64_t kAdamChunk = 65536;

template <typename Pool>
void Adam(Pool& pool, const AdamArgs& a) {
  const int64_t chunks = (a.count + kAdamChunk - 1) / kAdamChunk;
  ParallelFor(pool, chunks, [&](int64_t c) {
    const int64_t begin = c * kAdamChunk, end = std::min(a.count, begin + kAdamChunk);
#ifdef CONNFIT_X86
    if (CurrentIsa() == Isa::avx2) return AdamAvx2(a, begin, end);
#endif
    AdamPlain(a, begin, end);
  });
}

CONNFIT_INLINE double SquaresOf(const float* values, int64_t begin, int64_t end) {
  constexpr int W = 16;
  float sums[W] = {};
  int64_t i = begin;
  for (; i + W <= end; i += W) {
    for (int z = 0; z < W; ++z) sums[z] += values[i + z] * values[i + z];
  }
  double total = 0.0;
  for (; i < end; ++i) total += static_cast<double>(values[i]) * values[i];
  for (int z = 0; z < W; ++z) total += sums[z];
  return total;
}

struct SquaresArgs {
  const float* values;
  double* sums;  // of each chunk
  int64_t count;
};

// Chunks begin ... end - 1, each of which is added up by itself, so that threads do not change the sum.
CONNFIT_INLINE void SquaresOfChunks(const SquaresArgs& a, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; ++c) {
    a.sums[c] = SquaresOf(a.values, c * kAdamChunk, std::min(a.count, (c + 1) * kAdamChunk));
  }
}

CONNFIT_FOR_EACH_ISA(SquaresOfChunks, SquaresArgs)

template <typename Pool>
double SumOfSquares(Pool& pool, const float* values, int64_t count) {
  const int64_t chunks = (count + kAdamChunk - 1) / kAdamChunk;
  std::vector<double> sums(chunks, 0.0);
  ParallelFor(pool, chunks, [&](int64_t c) { SquaresOfChunksBest({values, sums.data(), count}, c, c + 1); });
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace connfit
