"""Triton kernels and CUDA graphs that replace torch's operations on a GPU.

The kernels read the state of a stream in place.  This package is imported only on a GPU: nothing else needs Triton.
"""
