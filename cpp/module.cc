// Binds the kernels to XLA's FFI; the exported functions are registered from Python.

#include <algorithm>
#include <string>

#include "matvec.h"
#include "rmatvec.h"
#include "window_outer.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace connfit {
namespace {

using Ints = ffi::Buffer<ffi::S32, 1>;
using Vector1 = ffi::Buffer<ffi::F32, 1>;
using Matrix = ffi::Buffer<ffi::F32, 2>;
using Cube = ffi::Buffer<ffi::F32, 3>;

template <typename Buffer>
int64_t Dim(Buffer& buffer, size_t axis) {
  return buffer.dimensions()[axis];
}

template <typename Left, typename Right>
bool SameShape(Left& left, Right& right) {
  const auto a = left.dimensions(), b = right.dimensions();
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

ffi::Error Mismatch(const char* operation) {
  return ffi::Error::InvalidArgument(std::string("connfit ") + operation + ": operand shapes contradict each other");
}

ffi::Error MatvecImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Vector1 w, Matrix x, ffi::Result<Matrix> y) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), batch = Dim(x, 1);
  if (rows < 0 || Dim(w, 0) != nnz || Dim(*y, 0) != rows || Dim(*y, 1) != batch) return Mismatch("matvec");
  Matvec(pool, {indptr.typed_data(), indices.typed_data(), w.typed_data(), x.typed_data(), y->typed_data(), rows, nnz,
                batch});
  return ffi::Error::Success();
}

ffi::Error RmatvecImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Vector1 w, Matrix v, ffi::Result<Matrix> g,
                       ffi::Result<Cube> buffers) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), batch = Dim(v, 1), columns = Dim(*g, 0);
  const int64_t partitions = Dim(*buffers, 0), block = Dim(*buffers, 2);
  if (rows < 0 || Dim(w, 0) != nnz || Dim(v, 0) != rows || Dim(*g, 1) != batch || Dim(*buffers, 1) != columns ||
      partitions < 1 || (batch > 0 && block < 1)) {
    return Mismatch("rmatvec");
  }
  Rmatvec(pool, {indptr.typed_data(), indices.typed_data(), w.typed_data(), v.typed_data(), g->typed_data(),
                 buffers->typed_data(), rows, columns, nnz, batch, partitions, block});
  return ffi::Error::Success();
}

ffi::Error SampledOuterImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Matrix left, Matrix right,
                            ffi::Result<Vector1> gradient) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), steps = Dim(left, 1);
  if (rows < 0 || Dim(left, 0) != rows || Dim(right, 1) != steps || Dim(*gradient, 0) != nnz) {
    return Mismatch("sampled_outer");
  }
  WindowOuter(pool, {indptr.typed_data(), indices.typed_data(), nullptr, nullptr, nullptr, left.typed_data(), nullptr,
                     right.typed_data(), gradient->typed_data(), nullptr, rows, nnz, 1, steps});
  return ffi::Error::Success();
}

ffi::Error WindowOuterImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Matrix trace, Matrix carry, Vector1 decay,
                           Cube left, Cube trace_left, Cube right, ffi::Result<Vector1> gradient,
                           ffi::Result<Matrix> new_trace) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), batch = Dim(trace, 1), steps = Dim(left, 2);
  if (rows < 0 || Dim(trace, 0) != nnz || Dim(carry, 0) != rows || Dim(carry, 1) != batch || Dim(decay, 0) != rows ||
      Dim(left, 0) != rows || Dim(left, 1) != batch || !SameShape(left, trace_left) || Dim(right, 1) != batch ||
      Dim(right, 2) != steps || Dim(*gradient, 0) != nnz || !SameShape(*new_trace, trace)) {
    return Mismatch("window_outer");
  }
  WindowOuter(pool, {indptr.typed_data(), indices.typed_data(), trace.typed_data(), carry.typed_data(),
                     decay.typed_data(), left.typed_data(), trace_left.typed_data(), right.typed_data(),
                     gradient->typed_data(), new_trace->typed_data(), rows, nnz, batch, steps});
  return ffi::Error::Success();
}

}  // namespace
}  // namespace connfit

#pragma GCC visibility push(default)

// Version of XLA's interface that this library was compiled for. A runtime serves its own version and
// older ones; registering with an older runtime would disable JAX's CPU backend as a whole.
extern "C" int connfit_ffi_version() { return 1000 * XLA_FFI_API_MAJOR + XLA_FFI_API_MINOR; }

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_matvec, connfit::MatvecImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Matrix>()
                                  .Ret<connfit::Matrix>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_rmatvec, connfit::RmatvecImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Matrix>()
                                  .Ret<connfit::Matrix>()
                                  .Ret<connfit::Cube>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_sampled_outer, connfit::SampledOuterImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Matrix>()
                                  .Ret<connfit::Vector1>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_window_outer, connfit::WindowOuterImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Cube>()
                                  .Arg<connfit::Cube>()
                                  .Arg<connfit::Cube>()
                                  .Ret<connfit::Vector1>()
                                  .Ret<connfit::Matrix>());

#pragma GCC visibility pop
