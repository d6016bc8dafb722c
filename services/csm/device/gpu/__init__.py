"""The fast device: Triton kernels and CUDA graphs.

Imported only if CSM runs on a GPU; the rest of the service does not load Triton.
"""
