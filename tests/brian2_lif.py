"""The neurons of `connfit.models.spiking` in Brian2: run by a Python that has it, on wiring and drive in an NPZ file.

    python brian2_lif.py IN.npz OUT.npz

`IN` has `neurons`, `step_ms`, `steps`, `pre`, `post`, `weights_mv`, `stimulated`; and either `event_step`, `event_of`
(the same events as in another simulator) or `rate_hz` and `seeds`, one a run (events of Brian2). `target` is `numpy`
(default), `cython` or `cpp_standalone`, which builds in `directory`. `OUT` gets `run`, `step`, `neuron` of every
spike, and `seconds` and `cpu_seconds` that the runs took, without compilation.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np


def main(source: str, out: str) -> None:
    """Simulate what `source` holds and write the spikes to `out`."""
    import brian2 as b2  # here, so that a Python without it can read this file

    given = np.load(source)
    target = str(given["target"]) if "target" in given else "numpy"
    if target == "cpp_standalone":
        b2.set_device("cpp_standalone", build_on_run=False)
    else:
        b2.prefs.codegen.target = target
    b2.defaultclock.dt = float(given["step_ms"]) * b2.ms
    neurons, stimulated = int(given["neurons"]), given["stimulated"]
    constants = {
        "rest": -52 * b2.mV, "reset": -52 * b2.mV, "threshold": -45 * b2.mV, "membrane": 20 * b2.ms,
        "synapse": 5 * b2.ms,
    }  # fmt: skip
    group = b2.NeuronGroup(
        neurons,
        """
        dv/dt = (rest - v + g) / membrane : volt (unless refractory)
        dg/dt = -g / synapse : volt (unless refractory)
        pause : second
        """,
        threshold="v > threshold", reset="v = reset; g = 0 * mV", refractory="pause", method="linear",
        namespace=constants,
    )  # fmt: skip
    pauses = np.full(neurons, 2.2)
    pauses[stimulated] = 0
    group.v, group.pause = -52 * b2.mV, pauses * b2.ms
    objects = [group]
    if len(given["pre"]):
        synapses = b2.Synapses(group, group, "w : volt", on_pre="g_post += w", delay=1.8 * b2.ms)
        synapses.connect(i=given["pre"], j=given["post"])
        synapses.w = given["weights_mv"] * b2.mV
        objects.append(synapses)
    kick = 250 * 0.275 * b2.mV
    if "event_step" in given:
        events = b2.SpikeGeneratorGroup(
            len(stimulated), given["event_of"], given["event_step"] * float(given["step_ms"]) * b2.ms
        )
        drive = b2.Synapses(events, group, on_pre="v_post += kick", namespace={"kick": kick})
        drive.connect(i=np.arange(len(stimulated)), j=stimulated)
        objects += [events, drive]
    else:
        first, last = int(stimulated[0]), int(stimulated[-1])
        rate = float(given["rate_hz"]) * b2.Hz
        if last - first == len(stimulated) - 1:
            objects.append(b2.PoissonInput(group[first : last + 1], "v", 1, rate, weight=kick))
        else:
            objects += [b2.PoissonInput(group[int(i)], "v", 1, rate, weight=kick) for i in stimulated]
    spikes = b2.SpikeMonitor(group)
    network = b2.Network(*objects, spikes)
    duration = int(given["steps"]) * float(given["step_ms"]) * b2.ms
    found, seconds, cpu = [], 0.0, 0.0
    if target == "cpp_standalone":
        network.run(duration)
        b2.device.build(directory=str(given["directory"]), compile=True, run=False)
        begin, began = time.perf_counter(), processor_seconds()
        b2.device.run()
        seconds, cpu = time.perf_counter() - begin, processor_seconds() - began
        found.append((np.asarray(spikes.t / b2.ms), np.asarray(spikes.i)))
    else:
        network.run(0 * b2.ms)  # compiles
        network.store()
        for seed in given["seeds"] if "seeds" in given else [0]:
            network.restore()
            b2.seed(int(seed))
            begin, began = time.perf_counter(), processor_seconds()
            network.run(duration)
            seconds, cpu = seconds + time.perf_counter() - begin, cpu + processor_seconds() - began
            found.append((np.array(spikes.t / b2.ms), np.array(spikes.i)))
    times, neuron = (np.concatenate([each[k] for each in found]) for k in (0, 1))
    run = np.repeat(np.arange(len(found)), [len(each[0]) for each in found])
    step = np.round(times / float(given["step_ms"])).astype(int)
    np.savez(out, run=run, step=step, neuron=neuron, seconds=seconds, cpu_seconds=cpu)


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main(*sys.argv[1:])
