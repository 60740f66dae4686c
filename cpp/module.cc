// Binds the kernels to XLA's FFI; the exported functions are registered from Python.

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "dense_outer.h"
#include "ffi_shapes.h"
#include "matvec.h"
#include "rmatvec.h"
#include "window_outer.h"

namespace connfit {
namespace {

// Whether what neurons with S states bring along fits: carry [R, B, S], decay [R, B, S, S], left [R, B, K] and
// trace_left [R, B, S, K].
bool FitTogether(int64_t rows, int64_t batch, int64_t states, Cube& carry, Tensor& decay, Cube& left,
                 Tensor& trace_left) {
  const int64_t steps = Dim(left, 2);
  return states >= 1 && states <= kMostStates && Is(carry.dimensions(), {rows, batch, states}) &&
         Is(decay.dimensions(), {rows, batch, states, states}) && Is(left.dimensions(), {rows, batch, steps}) &&
         Is(trace_left.dimensions(), {rows, batch, states, steps});
}

// Which rows a call is for: {first, begin, end}, of which those from `begin` on are to be done and operands hold
// `held` from `first` on.
bool RowsFit(Ints bounds, int64_t held, int64_t rows) {
  if (Dim(bounds, 0) != 3) return false;
  const int32_t* at = bounds.typed_data();
  return 0 <= at[0] && at[0] <= at[1] && at[1] <= at[2] && at[2] <= rows && at[2] - at[0] <= held;
}

// Lists of what is not 0 in `right`; empty ones where there are none.
bool EventsFit(Ints starts, Ints steps, Vector1 values, int64_t count, Events& events) {
  if (Dim(starts, 0) == 0) return true;
  events = {starts.typed_data(), steps.typed_data(), values.typed_data(), Dim(steps, 0), count};
  return Dim(starts, 0) == count + 1 && Dim(values, 0) == events.room;
}

ffi::Error MatvecImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Vector1 w, Matrix x, ffi::Result<Matrix> y) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), batch = Dim(x, 1);
  if (rows < 0 || Dim(w, 0) != nnz || Dim(*y, 0) != rows || Dim(*y, 1) != batch) return Mismatch("matvec");
  Matvec(pool, {indptr.typed_data(), indices.typed_data(), w.typed_data(), x.typed_data(), y->typed_data(), rows, nnz,
                batch});
  return ffi::Error::Success();
}

ffi::Error EventMatvecImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Ints starts, Ints by_rows, Ints places,
                           Vector1 laid_out, Ints is_laid_out, Vector1 w, Matrix x, ffi::Result<Matrix> y) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), batch = Dim(x, 1), columns = Dim(x, 0);
  ByColumn by{};
  if (rows < 0 || Dim(w, 0) != nnz || Dim(*y, 0) != rows || Dim(*y, 1) != batch ||
      !FindByColumn(starts, by_rows, places, laid_out, is_laid_out, columns, nnz, by)) {
    return Mismatch("event_matvec");
  }
  EventMatvec(
      pool,
      {indptr.typed_data(), indices.typed_data(), w.typed_data(), x.typed_data(), y->typed_data(), rows, nnz, batch},
      by);
  return ffi::Error::Success();
}

// Weights in the order of their columns, and whether they were copied; where not, nothing is written to them.
ffi::Error LayOutImpl(ffi::ThreadPool pool, Ints starts, Ints by_rows, Ints places, Vector1 w, Matrix sent, Ints steps,
                      ffi::Result<Vector1> laid_out, ffi::Result<Ints> is_laid_out) {
  const int64_t nnz = Dim(places, 0);
  if (Dim(w, 0) != nnz || Dim(by_rows, 0) != nnz || Dim(*laid_out, 0) != nnz || Dim(starts, 0) < 1 ||
      Dim(steps, 0) != 1 || Dim(*is_laid_out, 0) != 1) {
    return Mismatch("lay_out");
  }
  const ByColumn by{starts.typed_data(), by_rows.typed_data(), places.typed_data(), Dim(starts, 0) - 1, nullptr};
  is_laid_out->typed_data()[0] = LayOut(pool, w.typed_data(), by, nnz, sent.typed_data(), Dim(sent, 0) * Dim(sent, 1),
                                        steps.typed_data()[0], laid_out->typed_data());
  return ffi::Error::Success();
}

ffi::Error EventsImpl(ffi::ThreadPool pool, Cube right, ffi::Result<Ints> starts, ffi::Result<Ints> steps,
                      ffi::Result<Vector1> values) {
  const int64_t rows = Dim(right, 0) * Dim(right, 1), room = Dim(*steps, 0);
  if (Dim(*starts, 0) != rows + 1 || Dim(*values, 0) != room) return Mismatch("events");
  ListEvents(pool, right.typed_data(), rows, Dim(right, 2), starts->typed_data(), steps->typed_data(),
             values->typed_data(), room);
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

ffi::Error SampledOuterImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Ints starts, Ints at, Vector1 values,
                            Matrix left, Matrix right, ffi::Result<Vector1> gradient) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), steps = Dim(left, 1);
  Events events{};
  if (rows < 0 || Dim(left, 0) != rows || Dim(right, 1) != steps || Dim(*gradient, 0) != nnz ||
      !EventsFit(starts, at, values, Dim(right, 0), events)) {
    return Mismatch("sampled_outer");
  }
  WindowOuter(pool, WindowOuterArgs<float>{indptr.typed_data(), indices.typed_data(), nullptr, nullptr, nullptr,
                                           left.typed_data(), nullptr, right.typed_data(), gradient->typed_data(),
                                           nullptr, rows, nnz, 1, steps, 0, events});
  return ffi::Error::Success();
}

template <typename Trace, typename TraceBuffer>
ffi::Error WindowOuterImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Ints starts, Ints at, Vector1 values,
                           TraceBuffer trace, Cube carry, Tensor decay, Cube left, Tensor trace_left, Cube right,
                           ffi::Result<Vector1> gradient, ffi::Result<TraceBuffer> new_trace) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), steps = Dim(left, 2);
  const int64_t states = Dim(trace, 0), batch = Dim(trace, 2);
  Events events{};
  if (!EventsFit(starts, at, values, Dim(right, 0) * batch, events) || rows < 0 || Dim(trace, 1) != nnz ||
      !FitTogether(rows, batch, states, carry, decay, left, trace_left) || Dim(right, 1) != batch ||
      Dim(right, 2) != steps || Dim(*gradient, 0) != nnz || !SameShape(*new_trace, trace)) {
    return Mismatch("window_outer");
  }
  WindowOuter(pool, WindowOuterArgs<Trace>{
                        indptr.typed_data(), indices.typed_data(), reinterpret_cast<const Trace*>(trace.typed_data()),
                        carry.typed_data(), decay.typed_data(), left.typed_data(), trace_left.typed_data(),
                        right.typed_data(), gradient->typed_data(), reinterpret_cast<Trace*>(new_trace->typed_data()),
                        rows, nnz, batch, steps, states, events});
  return ffi::Error::Success();
}

template <typename Trace, typename TraceBuffer>
ffi::Error WindowOuterRowsImpl(ffi::ThreadPool pool, Ints bounds, Vector1 before, Ints indptr, Ints indices,
                               Ints starts, Ints at_steps, Vector1 values, TraceBuffer trace, Cube carry, Tensor decay,
                               Cube left, Tensor trace_left, Cube right, ffi::Result<Vector1> gradient,
                               ffi::Result<TraceBuffer> new_trace) {
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), steps = Dim(left, 2), held = Dim(carry, 0);
  const int64_t states = Dim(trace, 0), batch = Dim(trace, 2);
  Events events{};
  if (!EventsFit(starts, at_steps, values, Dim(right, 0) * batch, events) || rows < 0 || Dim(trace, 1) != nnz ||
      !FitTogether(held, batch, states, carry, decay, left, trace_left) || Dim(right, 1) != batch ||
      Dim(right, 2) != steps || Dim(before, 0) != nnz || Dim(*gradient, 0) != nnz || !SameShape(*new_trace, trace) ||
      !RowsFit(bounds, held, rows) || before.typed_data() != gradient->typed_data() ||
      trace.untyped_data() != new_trace->untyped_data()) {
    return Mismatch("window_outer of some rows");
  }
  const int32_t* at = bounds.typed_data();
  WindowOuter(
      pool,
      WindowOuterArgs<Trace>{indptr.typed_data(), indices.typed_data(),
                             reinterpret_cast<const Trace*>(trace.typed_data()), carry.typed_data(), decay.typed_data(),
                             left.typed_data(), trace_left.typed_data(), right.typed_data(), gradient->typed_data(),
                             reinterpret_cast<Trace*>(new_trace->typed_data()), rows, nnz, batch, steps, states, events}
          .Part(at[0], at[1], at[2]));
  return ffi::Error::Success();
}

template <typename Trace, typename TraceBuffer>
ffi::Error DenseOuterImpl(ffi::ThreadPool pool, TraceBuffer trace, Cube carry, Tensor decay, Cube left,
                          Tensor trace_left, Cube right, ffi::Result<Matrix> gradient,
                          ffi::Result<TraceBuffer> new_trace) {
  const int64_t states = Dim(trace, 0), rows = Dim(trace, 1), batch = Dim(trace, 2), columns = Dim(trace, 3);
  const int64_t steps = Dim(left, 2);
  if (!FitTogether(rows, batch, states, carry, decay, left, trace_left) || Dim(right, 0) != batch ||
      Dim(right, 1) != steps || Dim(right, 2) != columns || Dim(*gradient, 0) != rows || Dim(*gradient, 1) != columns ||
      !SameShape(*new_trace, trace)) {
    return Mismatch("dense_outer");
  }
  DenseOuter(pool,
             DenseOuterArgs<Trace>{reinterpret_cast<const Trace*>(trace.typed_data()), carry.typed_data(),
                                   decay.typed_data(), left.typed_data(), trace_left.typed_data(), right.typed_data(),
                                   gradient->typed_data(), reinterpret_cast<Trace*>(new_trace->typed_data()), rows,
                                   batch, steps, columns, states, rows * batch * columns});
  return ffi::Error::Success();
}

template <typename Trace, typename TraceBuffer>
ffi::Error DenseOuterRowsImpl(ffi::ThreadPool pool, Ints bounds, Matrix before, TraceBuffer trace, Cube carry,
                              Tensor decay, Cube left, Tensor trace_left, Cube right, ffi::Result<Matrix> gradient,
                              ffi::Result<TraceBuffer> new_trace) {
  const int64_t states = Dim(trace, 0), rows = Dim(trace, 1), batch = Dim(trace, 2), columns = Dim(trace, 3);
  const int64_t steps = Dim(left, 2), held = Dim(carry, 0);
  if (!FitTogether(held, batch, states, carry, decay, left, trace_left) || Dim(right, 0) != batch ||
      Dim(right, 1) != steps || Dim(right, 2) != columns || Dim(*gradient, 0) != rows || Dim(*gradient, 1) != columns ||
      !SameShape(*gradient, before) || !SameShape(*new_trace, trace) || !RowsFit(bounds, held, rows) ||
      before.typed_data() != gradient->typed_data() || trace.untyped_data() != new_trace->untyped_data()) {
    return Mismatch("dense_outer of some rows");
  }
  const int32_t* at = bounds.typed_data();
  DenseOuter(pool,
             DenseOuterArgs<Trace>{reinterpret_cast<const Trace*>(trace.typed_data()), carry.typed_data(),
                                   decay.typed_data(), left.typed_data(), trace_left.typed_data(), right.typed_data(),
                                   gradient->typed_data(), reinterpret_cast<Trace*>(new_trace->typed_data()), rows,
                                   batch, steps, columns, states, rows * batch * columns}
                 .Part(at[0], at[1], at[2]));
  return ffi::Error::Success();
}

// Bind traces, what each row of a window brings along, the other side's activity, and what becomes of the gradient
// and the traces.
template <typename Traces, typename Gradient, typename Binding>
constexpr auto WithWindow(Binding&& binding) {
  return std::forward<Binding>(binding)
      .template Arg<Traces>()
      .template Arg<Cube>()
      .template Arg<Tensor>()
      .template Arg<Cube>()
      .template Arg<Tensor>()
      .template Arg<Cube>()
      .template Ret<Gradient>()
      .template Ret<Traces>();
}

// Bind two lists of whole numbers and one of numbers.
template <typename Binding>
constexpr auto WithLists(Binding&& binding) {
  return std::forward<Binding>(binding).template Arg<Ints>().template Arg<Ints>().template Arg<Vector1>();
}

// Bind a pattern, and lists of what is not 0 of what it connects.
template <typename Binding>
constexpr auto WithPattern(Binding&& binding) {
  return WithLists(std::forward<Binding>(binding).template Arg<Ints>().template Arg<Ints>());
}

// Memory that calls for some rows fill after one another; nothing is written to it here.
ffi::Error RoomImpl(ffi::AnyBuffer, ffi::Result<ffi::AnyBuffer>) { return ffi::Error::Success(); }

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

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_event_matvec, connfit::EventMatvecImpl,
                              connfit::WithByColumn(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>())
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Matrix>()
                                  .Ret<connfit::Matrix>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_lay_out, connfit::LayOutImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Ints>()
                                  .Arg<connfit::Vector1>()
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Ints>()
                                  .Ret<connfit::Vector1>()
                                  .Ret<connfit::Ints>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_events, connfit::EventsImpl,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<connfit::Cube>()
                                  .Ret<connfit::Ints>()
                                  .Ret<connfit::Ints>()
                                  .Ret<connfit::Vector1>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_sampled_outer, connfit::SampledOuterImpl,
                              connfit::WithPattern(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>())
                                  .Arg<connfit::Matrix>()
                                  .Arg<connfit::Matrix>()
                                  .Ret<connfit::Vector1>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_window_outer, (connfit::WindowOuterImpl<float, connfit::Cube>),
                              (connfit::WithWindow<connfit::Cube, connfit::Vector1>(
                                  connfit::WithPattern(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>()))));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_window_outer_bf16,
                              (connfit::WindowOuterImpl<connfit::Bfloat16, connfit::HalfCube>),
                              (connfit::WithWindow<connfit::HalfCube, connfit::Vector1>(
                                  connfit::WithPattern(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>()))));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    connfit_dense_outer, (connfit::DenseOuterImpl<float, connfit::Tensor>),
    (connfit::WithWindow<connfit::Tensor, connfit::Matrix>(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>())));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    connfit_dense_outer_bf16, (connfit::DenseOuterImpl<connfit::Bfloat16, connfit::HalfTensor>),
    (connfit::WithWindow<connfit::HalfTensor, connfit::Matrix>(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>())));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    connfit_window_outer_rows, (connfit::WindowOuterRowsImpl<float, connfit::Cube>),
    (connfit::WithWindow<connfit::Cube, connfit::Vector1>(
        connfit::WithPattern(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<connfit::Ints>().Arg<connfit::Vector1>()))));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    connfit_window_outer_rows_bf16, (connfit::WindowOuterRowsImpl<connfit::Bfloat16, connfit::HalfCube>),
    (connfit::WithWindow<connfit::HalfCube, connfit::Vector1>(
        connfit::WithPattern(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<connfit::Ints>().Arg<connfit::Vector1>()))));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    connfit_dense_outer_rows, (connfit::DenseOuterRowsImpl<float, connfit::Tensor>),
    (connfit::WithWindow<connfit::Tensor, connfit::Matrix>(
        ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<connfit::Ints>().Arg<connfit::Matrix>())));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    connfit_dense_outer_rows_bf16, (connfit::DenseOuterRowsImpl<connfit::Bfloat16, connfit::HalfTensor>),
    (connfit::WithWindow<connfit::HalfTensor, connfit::Matrix>(
        ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<connfit::Ints>().Arg<connfit::Matrix>())));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_room, connfit::RoomImpl,
                              ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>());

#pragma GCC visibility pop
