"""The frame as one device program: Triton kernels and the CUDA graphs made of them.

Imported only where a GPU runs CSM; the rest of the service neither needs nor loads Triton.
"""
