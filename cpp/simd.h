// Instruction sets: chosen when the program runs, so that what ships needs no -march.
//
// Bodies of kernels are either always-inline functions on vectors of fixed width, which a wrapper
// with a target attribute makes the compiler emit once per instruction set, or AVX2 intrinsics
// beside a plain loop. Other processors run the plain form. AVX-512 is for compiled cells alone: the
// other kernels wait for memory, and it won nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#define CONNFIT_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__)
#include <immintrin.h>
#define CONNFIT_X86 1
#define CONNFIT_AVX2 __attribute__((target("avx2,fma")))
#define CONNFIT_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma,prefer-vector-width=512")))
#endif

namespace connfit {

enum class Isa { portable, avx2 };

// The best instruction set of this processor; CONNFIT_ISA=portable forces the plain form.
inline Isa CurrentIsa() {
  static const Isa isa = [] {
    const char* forced = std::getenv("CONNFIT_ISA");
    if (forced != nullptr && std::strcmp(forced, "portable") == 0) return Isa::portable;
#ifdef CONNFIT_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
    return Isa::portable;
  }();
  return isa;
}

// Whether AVX-512 is there beside AVX2, and CONNFIT_ISA=avx2 does not forbid it.
inline bool HasAvx512() {
  static const bool has = [] {
#ifdef CONNFIT_X86
    const char* forced = std::getenv("CONNFIT_ISA");
    if (CurrentIsa() != Isa::avx2 || (forced != nullptr && std::strcmp(forced, "avx2") == 0)) return false;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#else
    return false;
#endif
  }();
  return has;
}

// Defines BODYBest(args, begin, end): the always-inline BODY for the current instruction set.
#ifdef CONNFIT_X86
#define CONNFIT_FOR_EACH_ISA(BODY, ARGS)                                                                  \
  inline void BODY##Portable(const ARGS& a, int64_t begin, int64_t end) { BODY(a, begin, end); }          \
  CONNFIT_AVX2 inline void BODY##Avx2(const ARGS& a, int64_t begin, int64_t end) { BODY(a, begin, end); } \
  inline void BODY##Best(const ARGS& a, int64_t begin, int64_t end) {                                     \
    return CurrentIsa() == Isa::avx2 ? BODY##Avx2(a, begin, end) : BODY##Portable(a, begin, end);         \
  }
#else
#define CONNFIT_FOR_EACH_ISA(BODY, ARGS) \
  inline void BODY##Best(const ARGS& a, int64_t begin, int64_t end) { BODY(a, begin, end); }
#endif

// A vector of W floats that may lie anywhere in memory.
template <int W>
struct VectorOf {
  typedef float type __attribute__((vector_size(W * 4), aligned(4), may_alias));
};
template <int W>
using Vector = typename VectorOf<W>::type;

template <int W>
CONNFIT_INLINE Vector<W> Load(const float* from) {
  return *reinterpret_cast<const Vector<W>*>(from);
}

template <int W>
CONNFIT_INLINE void Store(float* to, Vector<W> value) {
  *reinterpret_cast<Vector<W>*>(to) = value;
}

// W numbers from a place on, of which there may be fewer: 0 stands for what is missing.
template <int W, typename Number>
CONNFIT_INLINE Vector<W> LoadSome(const Number* from, int64_t count) {
  float some[W] = {};
  if (count >= W) {
    for (int z = 0; z < W; ++z) some[z] = from[z];
  } else {
    for (int64_t z = 0; z < count; ++z) some[z] = from[z];
  }
  return Load<W>(some);
}

// Four vectors of four, rows for columns; in a way that every compiler knows.
CONNFIT_INLINE void Transpose(Vector<4> (&rows)[4]) {
  const auto low = [](Vector<4> a, Vector<4> b) { return Vector<4>{a[0], b[0], a[1], b[1]}; };
  const auto high = [](Vector<4> a, Vector<4> b) { return Vector<4>{a[2], b[2], a[3], b[3]}; };
  const Vector<4> even_low = low(rows[0], rows[2]), even_high = high(rows[0], rows[2]);
  const Vector<4> odd_low = low(rows[1], rows[3]), odd_high = high(rows[1], rows[3]);
  rows[0] = low(even_low, odd_low);
  rows[1] = high(even_low, odd_low);
  rows[2] = low(even_high, odd_high);
  rows[3] = high(even_high, odd_high);
}

// Writes `columns` rows of `rows` numbers, one after the other, which are W columns in a row here.
template <int W>
CONNFIT_INLINE void WriteTransposed(const float* from, int64_t rows, int64_t columns, float* to) {
  int64_t t = 0;
  for (; t + 4 <= rows; t += 4) {
    int64_t z = 0;
    for (; z + 4 <= columns; z += 4) {
      Vector<4> four[4];
      for (int k = 0; k < 4; ++k) four[k] = Load<4>(from + (t + k) * W + z);
      Transpose(four);
      for (int k = 0; k < 4; ++k) Store<4>(to + (z + k) * rows + t, four[k]);
    }
    for (; z < columns; ++z) {
      for (int k = 0; k < 4; ++k) to[z * rows + t + k] = from[(t + k) * W + z];
    }
  }
  for (; t < rows; ++t) {
    for (int64_t z = 0; z < columns; ++z) to[z * rows + t] = from[t * W + z];
  }
}

// Calls body(0), ... body(N - 1) with numbers that are known when it is compiled.
template <typename Body, int... I>
CONNFIT_INLINE void CallEach(const Body& body, std::integer_sequence<int, I...>) {
  (body(std::integral_constant<int, I>{}), ...);
}
template <int N, typename Body>
CONNFIT_INLINE void Unrolled(const Body& body) {
  CallEach(body, std::make_integer_sequence<int, N>{});
}
#define CONNFIT_BODY __attribute__((always_inline))

#ifdef CONNFIT_X86
// All bits set in the first `count` of eight lanes.
CONNFIT_AVX2 inline __m256i FirstLanes(int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}

// Stores the first `count` lanes, without the masked store that some processors run in microcode.
CONNFIT_AVX2 inline void StoreFirst(float* to, int64_t count, __m256 value) {
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, value);
  for (int64_t z = 0; z < count; ++z) to[z] = lanes[z];
}

CONNFIT_AVX2 inline float SumLanes(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

// Lane 2 z + h of the result is the sum over the lanes of vector h of pair z, where pairs[z] is the
// horizontal sum of the two.
CONNFIT_AVX2 inline __m256 SumPairs(const __m256 (&pairs)[4]) {
  const __m256 low = _mm256_hadd_ps(pairs[0], pairs[1]), high = _mm256_hadd_ps(pairs[2], pairs[3]);
  return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}
#endif

}  // namespace connfit
