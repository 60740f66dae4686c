// The spiking network as plain C functions, which Python calls through ctypes.

#include "spiking_run.h"

#pragma GCC visibility push(default)

extern "C" void* connfit_spiking_new(int double_precision, int64_t neurons, int64_t runs, int64_t delay) {
  if (double_precision) return new connfit::SpikingRunsOf<double>(neurons, runs, delay);
  return new connfit::SpikingRunsOf<float>(neurons, runs, delay);
}

extern "C" void connfit_spiking_run(void* runs, const connfit::SpikingArgs* args) {
  static_cast<connfit::SpikingRuns*>(runs)->Run(*args);
}

extern "C" void connfit_spiking_free(void* runs) { delete static_cast<connfit::SpikingRuns*>(runs); }
