"""The spiking fly in NEST: run by a Python that has it (`pip install nest-simulator`), for `spiking_forward.py`.

    python nest_lif.py IN.npz OUT.npz

NEST has no cell like that of Shiu et al. `iaf_psc_exp` is nearest: the same equations, but a spike does not clear the
current, which goes on in the refractory time. Stimulated neurons are parrots, which send each event on, and nothing
else. So spikes are not the same one by one.
"""

from __future__ import annotations

import sys
import time

import numpy as np


def main(source: str, out: str) -> None:
    """Simulate what `source` holds on one thread, and write spikes of neurons and the seconds of the run to `out`."""
    import nest  # here, so that a Python without it can read this file

    given = np.load(source)
    neurons, step_ms, stimulated = int(given["neurons"]), float(given["step_ms"]), given["stimulated"]
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution, nest.local_num_threads = step_ms, 1
    cell = {"V_th": -45.0, "V_reset": -52.0, "E_L": -52.0, "V_m": -52.0, "t_ref": 2.2, "tau_m": 20.0}
    # With a capacity of 20 pF and 20 ms, a picoampere is a millivolt of Shiu's g.
    synapse = {"C_m": 20.0, "tau_syn_ex": 5.0, "tau_syn_in": 5.0}
    cells = nest.Create("iaf_psc_exp", neurons - len(stimulated), params=cell | synapse)
    parrots = nest.Create("parrot_neuron", len(stimulated))
    node = np.zeros(neurons, np.int64)
    node[stimulated] = parrots.tolist()
    node[np.setdiff1d(np.arange(neurons), stimulated)] = cells.tolist()
    pre, post, weights = given["pre"], given["post"], given["weights_mv"].astype(float)
    kept = ~np.isin(post, stimulated)
    count = int(kept.sum())
    wiring = {"weight": weights[kept], "delay": np.full(count, 1.8)}
    nest.Connect(node[pre[kept]], node[post[kept]], "one_to_one", wiring)
    at, of = given["event_step"], given["event_of"]
    # An event of step t reaches the parrot one step later than it is written down for.
    trains = [{"spike_times": (at[of == k] + 1) * step_ms} for k in range(len(stimulated))]
    generators = nest.Create("spike_generator", len(stimulated), params=trains)
    nest.Connect(generators, parrots, "one_to_one", {"delay": step_ms})
    recorder = nest.Create("spike_recorder")
    nest.Connect(cells + parrots, recorder)
    nest.Prepare()
    begin, began = time.perf_counter(), time.process_time()
    nest.Run(int(given["steps"]) * step_ms)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - began
    nest.Cleanup()
    senders = recorder.events["senders"]
    back = np.full(node.max() + 1, -1)
    back[node] = np.arange(neurons)
    np.savez(out, neuron=back[senders], seconds=seconds, cpu_seconds=cpu)


if __name__ == "__main__":
    main(*sys.argv[1:])
