// Operands that XLA hands over, and their shapes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace connfit {

using Ints = ffi::Buffer<ffi::S32, 1>;
using Vector1 = ffi::Buffer<ffi::F32, 1>;
using Matrix = ffi::Buffer<ffi::F32, 2>;
using Cube = ffi::Buffer<ffi::F32, 3>;
using HalfCube = ffi::Buffer<ffi::BF16, 3>;
using Tensor = ffi::Buffer<ffi::F32, 4>;
using HalfTensor = ffi::Buffer<ffi::BF16, 4>;

template <typename Buffer>
int64_t Dim(Buffer& buffer, size_t axis) {
  return buffer.dimensions()[axis];
}

template <typename Left, typename Right>
bool SameShape(Left& left, Right& right) {
  const auto a = left.dimensions(), b = right.dimensions();
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Whether dimensions are these.
template <typename Dimensions>
bool Is(Dimensions dimensions, std::initializer_list<int64_t> expected) {
  return std::equal(dimensions.begin(), dimensions.end(), expected.begin(), expected.end());
}

inline ffi::Error Mismatch(const char* operation) {
  return ffi::Error::InvalidArgument(std::string("connfit ") + operation + ": operand shapes contradict each other");
}

}  // namespace connfit
