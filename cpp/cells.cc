// Compiled cells as handlers that XLA calls: `CellStep`, `CellForward`, `CellRun` and `CellWindow` of each. The last
// two operands of a window, the adjoint of spikes, are there where spikes are penalised.

#include "bfloat16.h"
#include "cell_forward.h"
#include "cell_run.h"
#include "cell_step.h"
#include "cell_window.h"
#include "ffi_shapes.h"
#include "lif.h"

namespace connfit {
namespace {

using Bytes = ffi::Buffer<ffi::U8, 3>;
using Flags = ffi::Buffer<ffi::U8, 1>;
using Words1 = ffi::Buffer<ffi::U32, 1>;

// Where each state [rows, batch] is before a step, and where it comes to be.
template <int kStates>
struct StatesOf {
  const float* now[kStates];
  float* next[kStates];

  // Whether operands and results are these.
  bool Find(ffi::RemainingArgs& states, ffi::RemainingRets& after, int64_t rows, int64_t batch) {
    if (states.size() != kStates || after.size() != kStates) return false;
    for (int s = 0; s < kStates; ++s) {
      const auto from = states.get<Matrix>(s);
      auto to = after.get<Matrix>(s);
      if (!from.has_value() || !to.has_value() || !Is(from->dimensions(), {rows, batch}) ||
          !Is((*to)->dimensions(), {rows, batch})) {
        return false;
      }
      now[s] = from->typed_data();
      next[s] = (*to)->typed_data();
    }
    return true;
  }
};

// theta [numbers, rows], options, what is received [rows, batch], and each state; the states after the step.
template <typename Cell>
ffi::Error CellStepImpl(ffi::ThreadPool pool, Matrix theta, Vector1 options, Matrix received, ffi::RemainingArgs states,
                        ffi::RemainingRets after) {
  const int64_t rows = Dim(received, 0), batch = Dim(received, 1);
  StatesOf<Cell::kStates> of;
  if (!Is(theta.dimensions(), {Cell::kNumbers, rows}) || Dim(options, 0) != Cell::kOptions ||
      !of.Find(states, after, rows, batch)) {
    return Mismatch("step of a cell");
  }
  CellStep<Cell>(
      pool, {theta.typed_data(), options.typed_data(), of.now, received.typed_data(), of.next, nullptr, rows, batch});
  return ffi::Error::Success();
}

// Further input and drive may be without numbers.
template <typename Cell>
ffi::Error CellForwardImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Ints starts, Ints by_rows, Ints places,
                           Vector1 laid_out, Ints is_laid_out, Vector1 w, Matrix sent, Vector1 signs, Vector1 bias,
                           Matrix others, Matrix drive, Matrix theta, Vector1 options, ffi::RemainingArgs states,
                           ffi::Result<Matrix> received, ffi::Result<Matrix> spiked, ffi::RemainingRets after) {
  const int64_t rows = Dim(indptr, 0) - 1, batch = Dim(sent, 1), nnz = Dim(indices, 0), columns = Dim(signs, 0);
  CellForwardArgs a{};
  StatesOf<Cell::kStates> of;
  const bool fits = rows > 0 && Dim(w, 0) == nnz && Dim(sent, 0) == rows && columns % rows == 0 &&
                    FindByColumn(starts, by_rows, places, laid_out, is_laid_out, columns, nnz, a.by) &&
                    Dim(bias, 0) == rows && (Dim(others, 0) == 0 || SameShape(others, sent)) &&
                    (Dim(drive, 0) == 0 || SameShape(drive, sent)) && SameShape(*received, sent) &&
                    SameShape(*spiked, sent) && Is(theta.dimensions(), {Cell::kNumbers, rows}) &&
                    Dim(options, 0) == Cell::kOptions && of.Find(states, after, rows, batch);
  if (!fits) return Mismatch("step of a cell with its connections");
  a.wiring = {
      indptr.typed_data(), indices.typed_data(), w.typed_data(), nullptr, received->typed_data(), rows, nnz, batch};
  a.sent = sent.typed_data();
  a.signs = signs.typed_data();
  a.bias = bias.typed_data();
  a.others = Dim(others, 0) == 0 ? nullptr : others.typed_data();
  a.drive = Dim(drive, 0) == 0 ? nullptr : drive.typed_data();
  a.step = {theta.typed_data(),
            options.typed_data(),
            of.now,
            received->typed_data(),
            of.next,
            spiked->typed_data(),
            rows,
            batch};
  CellForward<Cell>(pool, a, [](int64_t, int64_t) {});
  return ffi::Error::Success();
}

// Whether [steps, rows, batch] numbers are of each step, of all steps alike, or of none.
inline bool FindOfSteps(Cube values, int64_t steps, int64_t rows, int64_t batch, OfSteps& to) {
  const int64_t there = Dim(values, 0);
  to = {there == 0 ? nullptr : values.typed_data(), there == 1 ? 0 : rows * batch};
  return there == 0 || ((there == 1 || there == steps) && Is(values.dimensions(), {there, rows, batch}));
}

// What is received and the spikes of each step may be without numbers, and so may events, further input and drive.
template <typename Cell>
ffi::Error CellRunImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Ints starts, Ints by_rows, Ints places,
                       Vector1 laid_out, Ints is_laid_out, Vector1 w, Vector1 signs, Vector1 bias, Matrix theta,
                       Vector1 options, Ints count, Cube queue, Cube others, Cube drive, Words1 stream, Words1 clock,
                       Words1 thresholds, Vector1 event, Ints read_starts, Ints read_neurons, Vector1 strengths,
                       Flags scored, ffi::RemainingArgs states, ffi::Result<Cube> queue_after,
                       ffi::Result<Matrix> counts, ffi::Result<Cube> received, ffi::Result<Bytes> spiked,
                       ffi::Result<Cube> read, ffi::RemainingRets after) {
  static constexpr uint32_t kFirst = 0;
  const int64_t rows = Dim(indptr, 0) - 1, batch = Dim(*counts, 1), nnz = Dim(indices, 0), columns = Dim(signs, 0);
  const int64_t steps = Dim(count, 0) == 1 ? count.typed_data()[0] : -1, units = Dim(read_starts, 0) - 1;
  const int64_t levels = Dim(thresholds, 0), traced = Dim(*received, 0), flags = Dim(scored, 0);
  CellRunArgs a{};
  StatesOf<Cell::kStates> of;
  const bool fits = rows > 0 && steps > 0 && Dim(w, 0) == nnz && columns % rows == 0 &&
                    FindByColumn(starts, by_rows, places, laid_out, is_laid_out, columns, nnz, a.first.by) &&
                    Dim(bias, 0) == rows && Is(theta.dimensions(), {Cell::kNumbers, rows}) &&
                    Dim(options, 0) == Cell::kOptions && Is(queue.dimensions(), {Dim(queue, 0), rows, batch}) &&
                    SameShape(*queue_after, queue) && FindOfSteps(others, steps, rows, batch, a.others) &&
                    FindOfSteps(drive, steps, rows, batch, a.drive) && levels <= 255 &&
                    (levels == 0 || (Dim(stream, 0) == batch && Dim(clock, 0) == batch)) && Dim(event, 0) == 1 &&
                    Dim(read_neurons, 0) == Dim(strengths, 0) && (flags == 0 || flags == steps) &&
                    Is(read->dimensions(), {flags, units, batch}) && Is(counts->dimensions(), {rows, batch}) &&
                    (traced == 0 || traced == steps) && Is(received->dimensions(), {traced, rows, batch}) &&
                    SameShape(*spiked, *received) && of.Find(states, after, rows, batch);
  if (!fits) return Mismatch("steps of a cell with its connections");
  a.first.wiring = {indptr.typed_data(), indices.typed_data(), w.typed_data(), nullptr, nullptr, rows, nnz, batch};
  a.first.signs = signs.typed_data();
  a.first.bias = bias.typed_data();
  a.first.step = {theta.typed_data(), options.typed_data(), of.now, nullptr, of.next, nullptr, rows, batch};
  a.draw = {stream.typed_data(), clock.typed_data(), &kFirst, thresholds.typed_data(), nullptr, rows, batch, levels};
  a.event = event.typed_data()[0];
  a.queue = queue.typed_data();
  a.queue_after = queue_after->typed_data();
  a.readout = {read_starts.typed_data(), read_neurons.typed_data(),
               strengths.typed_data(),   nullptr,
               read->typed_data(),       units,
               Dim(strengths, 0),        batch};
  a.scored = flags == 0 ? nullptr : scored.typed_data();
  a.received = traced == 0 ? nullptr : received->typed_data();
  a.spiked = traced == 0 ? nullptr : spiked->typed_data();
  a.counts = counts->typed_data();
  a.steps = steps;
  a.delay = Dim(queue, 0);
  CellRun<Cell>(pool, a);
  return ffi::Error::Success();
}

template <typename Cell, typename Trace, typename TraceBuffer>
ffi::Error CellWindowImpl(ffi::ThreadPool pool, Ints indptr, Ints indices, Ints read_starts, Ints read_units,
                          Ints read_places, Vector1 strengths, Matrix theta, Vector1 options, Vector1 signs,
                          Cube starts, Cube received, Bytes spiked, Bytes arrived, Cube error, TraceBuffer trace,
                          Tensor own_trace, ffi::RemainingArgs firing, ffi::Result<Vector1> gradient,
                          ffi::Result<TraceBuffer> new_trace, ffi::Result<Matrix> own_gradient,
                          ffi::Result<Tensor> new_own_trace, ffi::Result<Cube> left, ffi::Result<Tensor> trace_left,
                          ffi::Result<Cube> carry, ffi::Result<Tensor> decay) {
  constexpr int64_t S = Cell::kTraced, L = Cell::kLearned;
  const int64_t rows = Dim(indptr, 0) - 1, nnz = Dim(indices, 0), steps = Dim(received, 0), batch = Dim(received, 2);
  const int64_t channels = Dim(signs, 0), units = Dim(error, 1), read = Dim(strengths, 0);
  const bool others = Dim(*left, 0) != 0;
  const bool fits =
      rows > 0 && Is(theta.dimensions(), {Cell::kNumbers, rows}) && Dim(options, 0) == Cell::kOptions && rows > 0 &&
      channels % rows == 0 && Is(starts.dimensions(), {Cell::kStates, rows, batch}) &&
      Is(received.dimensions(), {steps, rows, batch}) && SameShape(spiked, received) && SameShape(arrived, received) &&
      Is(error.dimensions(), {steps, units, batch}) && Dim(read_starts, 0) == rows + 1 && Dim(read_units, 0) == read &&
      Dim(read_places, 0) == read && Is(trace.dimensions(), {S, nnz, batch}) &&
      Is(own_trace.dimensions(), {L, S, rows, batch}) && Dim(*gradient, 0) == nnz && SameShape(*new_trace, trace) &&
      SameShape(*new_own_trace, own_trace) && Is(own_gradient->dimensions(), {L, rows}) &&
      Is(carry->dimensions(), {rows, batch, S}) && Is(decay->dimensions(), {rows, batch, S, S}) &&
      (!others ||
       (Is(left->dimensions(), {steps, rows, batch}) && Is(trace_left->dimensions(), {steps, S, rows, batch})));
  if (!fits) return Mismatch("window of a cell");
  const float* from[Cell::kStates];
  for (int64_t s = 0; s < Cell::kStates; ++s) from[s] = starts.typed_data() + s * rows * batch;
  CellWindowArgs<Trace> args;
  args.lanes.theta = theta.typed_data();
  args.lanes.options = options.typed_data();
  args.lanes.starts = from;
  args.lanes.received = received.typed_data();
  args.lanes.spiked = spiked.typed_data();
  args.lanes.error = error.typed_data();
  args.lanes.readout = {read_starts.typed_data(), read_units.typed_data(), read_places.typed_data(), rows};
  args.lanes.strengths = strengths.typed_data();
  args.lanes.slope = args.lanes.counted = nullptr;
  if (firing.size() != 0) {
    const auto slope = firing.get<Vector1>(0);
    const auto counted = firing.get<Matrix>(1);
    if (firing.size() != 2 || !slope.has_value() || !counted.has_value() || Dim(*slope, 0) != rows ||
        !Is(counted->dimensions(), {steps, batch})) {
      return Mismatch("penalty on spikes");
    }
    args.lanes.slope = slope->typed_data();
    args.lanes.counted = counted->typed_data();
  }
  args.lanes.left = others ? left->typed_data() : nullptr;
  args.lanes.trace_left = trace_left->typed_data();
  args.lanes.rows = rows;
  args.lanes.batch = batch;
  args.lanes.steps = steps;
  args.lanes.units = units;
  args.indptr = indptr.typed_data();
  args.indices = indices.typed_data();
  args.trace = reinterpret_cast<const Trace*>(trace.typed_data());
  args.lanes.own_trace = own_trace.typed_data();
  args.gradient = gradient->typed_data();
  args.new_trace = reinterpret_cast<Trace*>(new_trace->typed_data());
  args.lanes.own_gradient = own_gradient->typed_data();
  args.lanes.new_own_trace = new_own_trace->typed_data();
  args.lanes.carry = carry->typed_data();
  args.lanes.decay = decay->typed_data();
  args.nnz = nnz;
  CellWindow<Cell>(pool, args, arrived.typed_data(), signs.typed_data(), channels);
  return ffi::Error::Success();
}

inline auto OfStep() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Matrix>()
      .Arg<Vector1>()
      .Arg<Matrix>()
      .RemainingArgs()
      .RemainingRets();
}

inline auto OfForward() {
  return WithByColumn(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>())
      .Arg<Vector1>()
      .Arg<Matrix>()
      .Arg<Vector1>()
      .Arg<Vector1>()
      .Arg<Matrix>()
      .Arg<Matrix>()
      .Arg<Matrix>()
      .Arg<Vector1>()
      .RemainingArgs()
      .Ret<Matrix>()
      .Ret<Matrix>()
      .RemainingRets();
}

inline auto OfRun() {
  return WithByColumn(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>())
      .Arg<Vector1>()
      .Arg<Vector1>()
      .Arg<Vector1>()
      .Arg<Matrix>()
      .Arg<Vector1>()
      .Arg<Ints>()
      .Arg<Cube>()
      .Arg<Cube>()
      .Arg<Cube>()
      .Arg<Words1>()
      .Arg<Words1>()
      .Arg<Words1>()
      .Arg<Vector1>()
      .Arg<Ints>()
      .Arg<Ints>()
      .Arg<Vector1>()
      .Arg<Flags>()
      .RemainingArgs()
      .Ret<Cube>()
      .Ret<Matrix>()
      .Ret<Cube>()
      .Ret<Bytes>()
      .Ret<Cube>()
      .RemainingRets();
}

template <typename Traces>
constexpr auto OfWindow() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Ints>()
      .Arg<Ints>()
      .Arg<Ints>()
      .Arg<Ints>()
      .Arg<Ints>()
      .Arg<Vector1>()
      .Arg<Matrix>()
      .Arg<Vector1>()
      .Arg<Vector1>()
      .Arg<Cube>()
      .Arg<Cube>()
      .Arg<Bytes>()
      .Arg<Bytes>()
      .Arg<Cube>()
      .template Arg<Traces>()
      .template Arg<Tensor>()
      .RemainingArgs()
      .template Ret<Vector1>()
      .template Ret<Traces>()
      .template Ret<Matrix>()
      .template Ret<Tensor>()
      .template Ret<Cube>()
      .template Ret<Tensor>()
      .template Ret<Cube>()
      .template Ret<Tensor>();
}

}  // namespace
}  // namespace connfit

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_adaptive_lif_step, (connfit::CellStepImpl<connfit::AdaptiveLif>),
                              (connfit::OfStep()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_adaptive_lif_forward, (connfit::CellForwardImpl<connfit::AdaptiveLif>),
                              (connfit::OfForward()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_adaptive_lif_run, (connfit::CellRunImpl<connfit::AdaptiveLif>),
                              (connfit::OfRun()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_adaptive_lif_window,
                              (connfit::CellWindowImpl<connfit::AdaptiveLif, float, connfit::Cube>),
                              (connfit::OfWindow<connfit::Cube>()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_adaptive_lif_window_bf16,
                              (connfit::CellWindowImpl<connfit::AdaptiveLif, connfit::Bfloat16, connfit::HalfCube>),
                              (connfit::OfWindow<connfit::HalfCube>()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_lif_step, (connfit::CellStepImpl<connfit::Lif>), (connfit::OfStep()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_lif_forward, (connfit::CellForwardImpl<connfit::Lif>), (connfit::OfForward()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_lif_run, (connfit::CellRunImpl<connfit::Lif>), (connfit::OfRun()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_lif_window, (connfit::CellWindowImpl<connfit::Lif, float, connfit::Cube>),
                              (connfit::OfWindow<connfit::Cube>()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(connfit_lif_window_bf16,
                              (connfit::CellWindowImpl<connfit::Lif, connfit::Bfloat16, connfit::HalfCube>),
                              (connfit::OfWindow<connfit::HalfCube>()));

#pragma GCC visibility pop
