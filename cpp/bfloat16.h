// Traces in bfloat16: the upper half of a float, read exactly and written to the nearest, ties to even.
#pragma once

#include "simd.h"

namespace connfit {

struct Bfloat16 {
  uint16_t bits;
};

CONNFIT_INLINE float ToFloat(float value) { return value; }

CONNFIT_INLINE float ToFloat(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}

template <typename T>
CONNFIT_INLINE T FromFloat(float value);

template <>
CONNFIT_INLINE float FromFloat<float>(float value) {
  return value;
}

template <>
CONNFIT_INLINE Bfloat16 FromFloat<Bfloat16>(float value) {
  // Rounding the payload of a NaN could make a number of it.
  if (value != value) return {0x7fc0};
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

#ifdef CONNFIT_X86
CONNFIT_AVX2 CONNFIT_INLINE __m256 LoadEight(const float* from) { return _mm256_loadu_ps(from); }

CONNFIT_AVX2 CONNFIT_INLINE __m256 LoadEight(const Bfloat16* from) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

CONNFIT_AVX2 CONNFIT_INLINE void StoreEight(float* to, __m256 value) { _mm256_storeu_ps(to, value); }

CONNFIT_AVX2 CONNFIT_INLINE void StoreEight(Bfloat16* to, __m256 value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  const __m256i rounded = _mm256_srli_epi32(_mm256_blendv_epi8(sum, _mm256_set1_epi32(0x7fc00000), nan), 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
}

// The first `count` of eight numbers; the others are 0.
CONNFIT_AVX2 CONNFIT_INLINE __m256 LoadFirst(const float* from, __m256i lanes, int64_t) {
  return _mm256_maskload_ps(from, lanes);
}

CONNFIT_AVX2 CONNFIT_INLINE __m256 LoadFirst(const Bfloat16* from, __m256i, int64_t count) {
  alignas(16) Bfloat16 eight[8] = {};
  for (int64_t z = 0; z < count; ++z) eight[z] = from[z];
  return LoadEight(eight);
}

CONNFIT_AVX2 CONNFIT_INLINE void StoreFirst(Bfloat16* to, int64_t count, __m256 value) {
  alignas(16) Bfloat16 eight[8];
  StoreEight(eight, value);
  for (int64_t z = 0; z < count; ++z) to[z] = eight[z];
}
#endif

}  // namespace connfit
