// What an optimiser does, as handlers that XLA calls. Arrays of any shape.

#include "adam.h"
#include "ffi_shapes.h"

namespace connfit {
namespace {

using Numbers = ffi::AnyBuffer;

ffi::Error AdamImpl(ffi::ThreadPool pool, Vector1 with, Numbers params, Numbers first, Numbers second, Numbers gradient,
                    ffi::Result<Numbers> new_params, ffi::Result<Numbers> new_first, ffi::Result<Numbers> new_second) {
  const auto fits = [&](auto& other) {
    return other.element_type() == ffi::F32 && other.element_count() == params.element_count();
  };
  if (Dim(with, 0) != kAdamNumbers || !fits(params) || !fits(first) || !fits(second) || !fits(gradient) ||
      !fits(*new_params) || !fits(*new_first) || !fits(*new_second)) {
    return Mismatch("Adam");
  }
  const float* n = with.typed_data();
  Adam(pool, {params.typed_data<float>(),
              first.typed_data<float>(),
              second.typed_data<float>(),
              gradient.typed_data<float>(),
              new_params->typed_data<float>(),
              new_first->typed_data<float>(),
              new_second->typed_data<float>(),
              static_cast<int64_t>(params.element_count()),
              {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9]}});
  return ffi::Error::Success();
}

ffi::Error SquaresImpl(ffi::ThreadPool pool, Numbers values, ffi::Result<Vector1> sum) {
  if (values.element_type() != ffi::F32 || Dim(*sum, 0) != 1) return Mismatch("sum of squares");
  sum->typed_data()[0] =
      static_cast<float>(SumOfSquares(pool, values.typed_data<float>(), static_cast<int64_t>(values.element_count())));
  return ffi::Error::Success();
}

}  // namespace
}  // namespace connfit

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_adam, connfit::AdamImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_sum_of_squares, connfit::SquaresImpl,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::AnyBuffer>().Ret<connfit::Vector1>());

#pragma GCC visibility pop
