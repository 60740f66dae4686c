// Operands that XLA hands over, and their shapes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "events.h"
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

// Bind a pattern, its connections by column, and what `FindByColumn` asks for of their weights.
template <typename Binding>
constexpr auto WithByColumn(Binding&& binding) {
  return std::forward<Binding>(binding)
      .template Arg<Ints>()
      .template Arg<Ints>()
      .template Arg<Ints>()
      .template Arg<Ints>()
      .template Arg<Ints>()
      .template Arg<Vector1>()
      .template Arg<Ints>();
}

// Whether operands are connections by column; `laid_out` are weights in their order where `is_laid_out` begins with
// something else than 0, and both may be empty.
inline bool FindByColumn(Ints starts, Ints rows, Ints places, Vector1 laid_out, Ints is_laid_out, int64_t columns,
                         int64_t nnz, ByColumn& by) {
  const bool asked = Dim(is_laid_out, 0) != 0, there = asked && is_laid_out.typed_data()[0] != 0;
  by = {starts.typed_data(), rows.typed_data(), places.typed_data(), columns, there ? laid_out.typed_data() : nullptr};
  return Dim(starts, 0) == columns + 1 && Dim(rows, 0) == nnz && Dim(places, 0) == nnz &&
         Dim(laid_out, 0) == (asked ? nnz : 0);
}

}  // namespace connfit
