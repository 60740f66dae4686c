// External Poisson events as a handler that XLA calls.

#include "poisson.h"

#include "ffi_shapes.h"

namespace connfit {
namespace {

using Numbers = ffi::Buffer<ffi::U32, 1>;
using Counts = ffi::Buffer<ffi::U8, 2>;

ffi::Error PoissonCountsImpl(ffi::ThreadPool pool, Numbers stream, Numbers step, Numbers first, Numbers thresholds,
                             ffi::Result<Counts> counts) {
  const int64_t rows = Dim(*counts, 0), batch = Dim(*counts, 1), levels = Dim(thresholds, 0);
  if (Dim(stream, 0) != batch || Dim(step, 0) != batch || Dim(first, 0) != 1 || levels > 255) {
    return Mismatch("counts of Poisson events");
  }
  PoissonCounts(pool, {stream.typed_data(), step.typed_data(), first.typed_data(), thresholds.typed_data(),
                       counts->typed_data(), rows, batch, levels});
  return ffi::Error::Success();
}

}  // namespace
}  // namespace connfit

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_poisson_counts, connfit::PoissonCountsImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Numbers>()
                                  .Arg<connfit::Numbers>()
                                  .Arg<connfit::Numbers>()
                                  .Arg<connfit::Numbers>()
                                  .Ret<connfit::Counts>());

#pragma GCC visibility pop
