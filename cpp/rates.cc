// Rate neurons as handlers that XLA calls. Operands that need not be there are empty where they are not.

#include "ffi_shapes.h"
#include "rate.h"

namespace connfit {
namespace {

using Bytes = ffi::Buffer<ffi::U8, 3>;

template <typename Buffer>
auto* OrNone(Buffer& buffer) {
  return buffer.element_count() == 0 ? nullptr : buffer.typed_data();
}

template <typename Left, typename Right>
bool EmptyOrLike(Left& some, Right& whole) {
  return some.element_count() == 0 || SameShape(some, whole);
}

ffi::Error RateStepImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Vector1 w, Matrix sources, Vector1 bias,
                        Vector1 decay, Matrix others, Matrix drive, Matrix rates, ffi::Result<Matrix> after,
                        ffi::Result<Matrix> received) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), batch = Dim(sources, 1);
  if (rows < 0 || Dim(w, 0) != nnz || Dim(bias, 0) != rows || Dim(decay, 0) != rows ||
      !Is(rates.dimensions(), {rows, batch}) || !EmptyOrLike(others, rates) || !EmptyOrLike(drive, rates) ||
      !SameShape(*after, rates) || !SameShape(*received, rates)) {
    return Mismatch("step of rates");
  }
  RateStep(pool, {{indptr.typed_data(), indices.typed_data(), w.typed_data(), sources.typed_data(),
                   received->typed_data(), rows, nnz, batch},
                  bias.typed_data(),
                  decay.typed_data(),
                  OrNone(others),
                  OrNone(drive),
                  rates.typed_data(),
                  after->typed_data()});
  return ffi::Error::Success();
}

ffi::Error RateWindowImpl(ffi::ThreadPool pool, Vector1 decay, Cube states, Cube received, Cube read, Cube adjoints,
                          Matrix start, Cube kept, Bytes gate, Cube own_trace, ffi::Result<Cube> left,
                          ffi::Result<Tensor> trace_left, ffi::Result<Cube> gated, ffi::Result<Tensor> trace_gated,
                          ffi::Result<Cube> carry, ffi::Result<Tensor> left_over, ffi::Result<Matrix> own_gradient,
                          ffi::Result<Cube> new_own) {
  const int64_t steps = Dim(states, 0), rows = Dim(states, 1), batch = Dim(states, 2);
  const bool knows = adjoints.element_count() != 0, has_gate = gate.element_count() != 0;
  const bool fits = Dim(decay, 0) == rows && SameShape(received, states) &&
                    (knows ? SameShape(adjoints, states) && Is(start.dimensions(), {rows, batch})
                           : Is(read.dimensions(), {rows, steps, batch})) &&
                    EmptyOrLike(kept, states) && EmptyOrLike(gate, states) &&
                    Is(own_trace.dimensions(), {2, rows, batch}) && Is(left->dimensions(), {rows, batch, steps}) &&
                    Is(trace_left->dimensions(), {rows, batch, 1, steps}) &&
                    (!has_gate || (SameShape(*gated, *left) && SameShape(*trace_gated, *trace_left))) &&
                    Is(carry->dimensions(), {rows, batch, 1}) && Is(left_over->dimensions(), {rows, batch, 1, 1}) &&
                    Is(own_gradient->dimensions(), {2, rows}) && SameShape(*new_own, own_trace);
  if (!fits) return Mismatch("window of rates");
  RateWindow(pool, {decay.typed_data(),
                    states.typed_data(),
                    received.typed_data(),
                    read.typed_data(),
                    OrNone(adjoints),
                    knows ? start.typed_data() : nullptr,
                    OrNone(kept),
                    OrNone(gate),
                    own_trace.typed_data(),
                    left->typed_data(),
                    trace_left->typed_data(),
                    gated->typed_data(),
                    trace_gated->typed_data(),
                    carry->typed_data(),
                    left_over->typed_data(),
                    own_gradient->typed_data(),
                    new_own->typed_data(),
                    rows,
                    batch,
                    steps});
  return ffi::Error::Success();
}

}  // namespace
}  // namespace connfit

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_rate_forward, connfit::RateStepImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Matrix>()
                                  .Ret<connfit::Matrix>()
                                  .Ret<connfit::Matrix>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_rate_backward, connfit::RateWindowImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Cube>()
                                  .Arg<connfit::Cube>()
                                  .Arg<connfit::Cube>()
                                  .Arg<connfit::Cube>()
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Cube>()
                                  .Arg<connfit::Bytes>()
                                  .Arg<connfit::Cube>()
                                  .Ret<connfit::Cube>()
                                  .Ret<connfit::Tensor>()
                                  .Ret<connfit::Cube>()
                                  .Ret<connfit::Tensor>()
                                  .Ret<connfit::Cube>()
                                  .Ret<connfit::Tensor>()
                                  .Ret<connfit::Matrix>()
                                  .Ret<connfit::Cube>());

#pragma GCC visibility pop
